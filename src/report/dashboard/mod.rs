//! Dashboards: a reader's questions as TOML, one file each in `dashboards/`.
//!
//! In: the text of a dashboard. Out: its sections and blocks. Invariant: a dashboard holds no SQL and no
//! numbers of its own; it names queries of the catalogue and says how their rows are shown.

mod blocks;
mod charts;

use serde::Deserialize;

pub use blocks::*;
pub use charts::*;

use crate::error::{Error, Result};

/// The shipped dashboard of the monthly review.
pub const MONTHLY: &str = include_str!("../../../dashboards/monthly.toml");
/// The shipped dashboard of the weekly packet of one batch.
pub const BATCH: &str = include_str!("../../../dashboards/batch.toml");

/// A page as described.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Title of the page.
    pub title: String,
    /// The grain of the rows that headlines, tiles, rates and parts show.
    #[serde(default = "period")]
    pub grain: String,
    /// Queries that the JSON result holds as `metrics`.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Sections in reading order.
    #[serde(rename = "section")]
    pub sections: Vec<SectionSpec>,
}

fn period() -> String {
    "period".to_owned()
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

impl Dashboard {
    /// Parses the text of the dashboard `name`.
    ///
    /// # Errors
    /// Invalid, with the place, when a key is unknown or missing, or a link leads nowhere.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let dashboard: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::invalid(format!("dashboard `{name}` cannot be read: line {line}: {}", e.message()))
        })?;
        dashboard.check_links(name)?;
        Ok(dashboard)
    }

    /// Names of all queries that the page needs once for its whole period, each once, in the order of
    /// their first use.
    pub fn queries(&self) -> Vec<&str> {
        let shown = self.blocks().flat_map(BlockSpec::queries);
        unique(self.metrics.iter().map(String::as_str).chain(shown))
    }

    /// Names of the metrics that the page needs for each of its months: their rows, with a column
    /// `month`, are the answer `trend:<metric>`.
    pub fn trends(&self) -> Vec<&str> {
        let specs = self.blocks().filter_map(|block| match block {
            BlockSpec::SmallMultiples(spec) => Some(&spec.metrics),
            _ => None,
        });
        unique(specs.flatten().map(|m| m.query.as_str()))
    }

    /// Names of the controls that the page needs: the answers `control:<name>`.
    pub fn controls(&self) -> Vec<&str> {
        let names = self.blocks().filter_map(|block| match block {
            BlockSpec::Controls(spec) => Some(&spec.names),
            _ => None,
        });
        unique(names.flatten().map(String::as_str))
    }

    fn blocks(&self) -> impl Iterator<Item = &BlockSpec> + Clone {
        self.sections.iter().flat_map(|s| &s.blocks)
    }

    fn check_links(&self, name: &str) -> Result<()> {
        let rows = self.blocks().filter_map(|block| match block {
            BlockSpec::Crosswalk(spec) => Some(&spec.rows),
            _ => None,
        });
        match rows.flatten().flat_map(|r| &r.sections).find(|id| !self.sections.iter().any(|s| s.id == **id)) {
            Some(id) => Err(Error::invalid(format!("dashboard `{name}`: there is no section `{id}` to refer to"))),
            None => Ok(()),
        }
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for name in names {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_dashboards_parse_and_name_their_queries() {
        let monthly = Dashboard::parse("monthly", MONTHLY).unwrap();
        let queries = monthly.queries();
        assert!(queries.contains(&"log_health") && queries.contains(&"decision_mix"));
        assert_eq!(queries.iter().filter(|q| **q == "flag_rate").count(), 1);
        assert!(monthly.trends().contains(&"approval_coverage"));
        assert_eq!(monthly.controls().len(), 26);
        let batch = Dashboard::parse("batch", BATCH).unwrap();
        assert!(batch.queries().contains(&"batch_packet") && batch.grain == "batch");
    }

    #[test]
    fn the_monthly_review_has_its_seventeen_sections_and_an_appendix() {
        let monthly = Dashboard::parse("monthly", MONTHLY).unwrap();
        let ids: Vec<&str> = monthly.sections.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), 18);
        assert_eq!((ids[0], ids[6], ids[16], ids[17]), ("summary", "controls", "sign-off", "appendix"));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let text = MONTHLY.replacen("caption = ", "capton = ", 1);
        let message = Dashboard::parse("monthly", &text).unwrap_err().to_string();
        assert!(message.contains("capton") && message.contains("line"), "{message}");
    }

    #[test]
    fn a_cross_walk_refers_to_sections_of_its_own_page_only() {
        let text = MONTHLY.replacen("id = \"log-health\"", "id = \"log-helth\"", 1);
        let message = Dashboard::parse("monthly", &text).unwrap_err().to_string();
        assert!(message.contains("no section `log-health`"), "{message}");
    }
}
