//! Dashboards: a reader's questions as TOML, one file each in `dashboards/`.
//!
//! In: the text of a dashboard. Out: its sections and blocks. Invariant: a dashboard holds no SQL and no
//! numbers; it names queries of the catalogue and says how their rows are shown.

use serde::Deserialize;

use crate::error::{Error, Result};

/// The shipped dashboard of the monthly review.
pub const MONTHLY: &str = include_str!("../../dashboards/monthly.toml");

/// A page as described.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Title of the page.
    pub title: String,
    /// Queries that the JSON result holds as `metrics`.
    pub metrics: Vec<String>,
    /// Sections in reading order.
    #[serde(rename = "section")]
    pub sections: Vec<SectionSpec>,
}

/// A section as described.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionSpec {
    /// Anchor.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What the reader learns.
    pub question: String,
    /// What is shown.
    #[serde(rename = "block")]
    pub blocks: Vec<BlockSpec>,
}

/// A block as described.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "show", rename_all = "snake_case", deny_unknown_fields)]
pub enum BlockSpec {
    /// The rate of the whole period, large.
    Headline {
        /// Its query.
        query: String,
        /// What it is.
        label: String,
        /// What is counted: `3,740 of 8,828 <noun>`.
        noun: String,
    },
    /// Rates of the whole period, small.
    Tiles {
        /// The tiles.
        tiles: Vec<RateSpec>,
    },
    /// Rates of the whole period as a table.
    Rates {
        /// Caption.
        label: String,
        /// The rows.
        rows: Vec<RateSpec>,
    },
    /// A rate over time with intervals.
    Trend {
        /// A query with reviewed, exceptions, value, ci_low, ci_high, status.
        query: String,
        /// Title.
        label: String,
        /// Column with the time.
        x: String,
        /// How to read it.
        caption: String,
    },
    /// Parts of a query with `part`, as bars.
    Bars {
        /// Its query.
        query: String,
        /// Title.
        label: String,
        /// How to read it.
        caption: String,
    },
    /// Parts of a query with `part`, as one bar.
    Mix {
        /// Its query.
        query: String,
        /// Title.
        label: String,
        /// How to read it.
        caption: String,
    },
    /// Two counts over time.
    Columns {
        /// Its query.
        query: String,
        /// Title.
        label: String,
        /// Column with the time.
        x: String,
        /// Column with the whole.
        whole: String,
        /// Column with the part.
        part: String,
        /// How to read it.
        caption: String,
    },
    /// Rates by batch or workflow.
    Scorecard {
        /// `batch` or `workflow`.
        grain: String,
        /// Caption.
        label: String,
        /// Heading of the first column.
        key: String,
        /// A column each.
        columns: Vec<RateSpec>,
    },
    /// Quantiles of a duration.
    Durations {
        /// A query with p50_hours, p90_hours, max_hours, pending, pending_age_hours.
        query: String,
        /// Caption.
        label: String,
    },
    /// Counts of what was received.
    Health {
        /// Its query.
        query: String,
        /// Caption.
        label: String,
    },
}

/// A rate among others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    /// Its query.
    pub query: String,
    /// What it is.
    pub label: String,
    /// What is counted.
    #[serde(default)]
    pub noun: String,
}

impl Dashboard {
    /// Parses the text of the dashboard `name`.
    ///
    /// # Errors
    /// Invalid, with the place, when a key is unknown or missing.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::invalid(format!("dashboard `{name}` cannot be read: line {line}: {}", e.message()))
        })
    }

    /// Names of all queries that the page needs, each once, in the order of their first use.
    pub fn queries(&self) -> Vec<&str> {
        let blocks = self.sections.iter().flat_map(|s| &s.blocks).flat_map(BlockSpec::queries);
        let mut names: Vec<&str> = Vec::new();
        for name in self.metrics.iter().map(String::as_str).chain(blocks) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl BlockSpec {
    fn queries(&self) -> Vec<&str> {
        match self {
            Self::Headline { query, .. }
            | Self::Trend { query, .. }
            | Self::Bars { query, .. }
            | Self::Mix { query, .. }
            | Self::Columns { query, .. }
            | Self::Durations { query, .. }
            | Self::Health { query, .. } => vec![query],
            Self::Tiles { tiles: rates } | Self::Rates { rows: rates, .. } | Self::Scorecard { columns: rates, .. } => {
                rates.iter().map(|r| r.query.as_str()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_dashboard_parses_and_names_its_queries() {
        let dashboard = Dashboard::parse("monthly", MONTHLY).unwrap();
        let queries = dashboard.queries();
        assert!(queries.contains(&"log_health") && queries.contains(&"decision_mix"));
        assert_eq!(queries.iter().filter(|q| **q == "flag_rate").count(), 1);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let text = MONTHLY.replace("caption = \"Pending", "capton = \"Pending");
        let message = Dashboard::parse("monthly", &text).unwrap_err().to_string();
        assert!(message.contains("capton") && message.contains("line"), "{message}");
    }
}
