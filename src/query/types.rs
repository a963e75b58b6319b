//! The types that headers of queries name, and values given to parameters.
//!
//! In: the word of a type, the text of a value. Out: the type, the value as a literal of SQL. Invariant: a
//! value enters a query as a parsed literal of its declared type, never as text.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::sql::sqlparser::ast::{CastKind, DataType as SqlType, ExactNumberInfo, Expr, TimezoneInfo, Value};
use serde::Serialize;

use crate::clock::{Micros, rfc3339};
use crate::event::parse;

/// A type as headers write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text.
    Utf8,
    /// 8-bit integer.
    Int8,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// 64-bit float.
    Float64,
    /// Truth value.
    Boolean,
    /// Instant in UTC, microseconds.
    Timestamp,
    /// Calendar day.
    Date,
    /// Decimal of a precision and scale.
    Decimal(u8, i8),
    /// Any list.
    List,
    /// Any struct.
    Struct,
}

/// A value given to a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// Text.
    Utf8(String),
    /// Integer.
    Int64(i64),
    /// Float.
    Float64(f64),
    /// Truth value.
    Boolean(bool),
    /// Instant in microseconds.
    #[serde(serialize_with = "as_rfc3339")]
    Timestamp(Micros),
    /// Day, `YYYY-MM-DD`.
    Date(String),
    /// No value.
    Null,
}

impl std::fmt::Display for ParamValue {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(text)) => f.write_str(&text),
            Ok(value) => write!(f, "{value}"),
            Err(_) => Err(std::fmt::Error),
        }
    }
}

fn as_rfc3339<S: serde::Serializer>(at: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

impl ValueType {
    /// The type called `word`.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "utf8" => Self::Utf8,
            "int8" => Self::Int8,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "bool" | "boolean" => Self::Boolean,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            "list" => Self::List,
            "struct" => Self::Struct,
            _ => {
                let (precision, scale) = word.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
                Self::Decimal(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
            }
        })
    }

    /// The word for it.
    pub fn word(self) -> String {
        match self {
            Self::Utf8 => "utf8".to_owned(),
            Self::Int8 => "int8".to_owned(),
            Self::Int32 => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Float64 => "float64".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::List => "list".to_owned(),
            Self::Struct => "struct".to_owned(),
        }
    }

    /// The type whose columns have Arrow type `data_type`.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Utf8,
            DataType::Int8 => Self::Int8,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => Self::Timestamp,
            DataType::Date32 => Self::Date,
            DataType::Decimal128(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::List(_) | DataType::LargeList(_) | DataType::ListView(_) => Self::List,
            DataType::Struct(_) => Self::Struct,
            _ => return None,
        })
    }

    /// What a value of this type looks like, for a message.
    pub fn example(self, name: &str) -> String {
        match self {
            Self::Timestamp => format!("an RFC 3339 instant, e.g. {name}=2026-11-01T00:00:00Z"),
            Self::Date => format!("a day, e.g. {name}=2026-11-01"),
            Self::Int8 | Self::Int32 | Self::Int64 => format!("an integer, e.g. {name}=30"),
            Self::Float64 | Self::Decimal(..) => format!("a number, e.g. {name}=0.5"),
            Self::Boolean => format!("true or false, e.g. {name}=true"),
            Self::Utf8 | Self::List | Self::Struct => format!("a text, e.g. {name}=value"),
        }
    }

    /// `text` as a value of this type; `None` when it is none.
    pub fn value(self, text: &str) -> Option<ParamValue> {
        Some(match self {
            Self::Utf8 => ParamValue::Utf8(text.to_owned()),
            Self::Int64 => ParamValue::Int64(parse::integer(text, i64::MIN, i64::MAX).ok()?),
            Self::Float64 => ParamValue::Float64(text.parse().ok().filter(|n: &f64| n.is_finite())?),
            Self::Boolean => ParamValue::Boolean(text.parse().ok()?),
            Self::Timestamp => ParamValue::Timestamp(parse::instant(text).ok()?),
            Self::Date => {
                let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
                ParamValue::Date(day.format("%Y-%m-%d").to_string())
            }
            Self::Int8 | Self::Int32 | Self::Decimal(..) | Self::List | Self::Struct => return None,
        })
    }

    /// Whether a parameter may have this type.
    pub fn is_for_params(self) -> bool {
        !matches!(self, Self::Int8 | Self::Int32 | Self::Decimal(..) | Self::List | Self::Struct)
    }

    /// `value` as an SQL literal of this type.
    pub fn literal(self, value: &ParamValue) -> Expr {
        let number = |text: String| Value::Number(text, false);
        let text = |text: &str| Value::SingleQuotedString(text.to_owned());
        let literal = match value {
            ParamValue::Null => Value::Null,
            ParamValue::Boolean(truth) => Value::Boolean(*truth),
            ParamValue::Utf8(s) | ParamValue::Date(s) => text(s),
            ParamValue::Int64(n) => text(&n.to_string()),
            ParamValue::Float64(n) if n.is_sign_positive() => number(format!("{n:e}")),
            ParamValue::Float64(n) => text(&format!("{n:e}")),
            ParamValue::Timestamp(at) => text(&rfc3339(*at)),
        };
        let data_type = match self {
            Self::Int64 | Self::Int8 | Self::Int32 => SqlType::BigInt(None),
            Self::Float64 | Self::Decimal(..) => SqlType::Double(ExactNumberInfo::None),
            Self::Boolean => SqlType::Boolean,
            Self::Timestamp => SqlType::Timestamp(Some(6), TimezoneInfo::WithTimeZone),
            Self::Date => SqlType::Date,
            Self::Utf8 | Self::List | Self::Struct => SqlType::Varchar(None),
        };
        let expr = Box::new(Expr::Value(literal.into()));
        Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for word in [
            "utf8",
            "int8",
            "int32",
            "int64",
            "float64",
            "boolean",
            "timestamp",
            "date",
            "decimal(38,0)",
            "list",
            "struct",
        ] {
            assert_eq!(ValueType::named(word).unwrap().word(), word);
        }
        assert_eq!(ValueType::named("text"), None);
        assert_eq!(ValueType::named("decimal(x,y)"), None);
    }

    #[test]
    fn a_value_is_of_its_type_or_refused() {
        assert_eq!(ValueType::Int64.value("30"), Some(ParamValue::Int64(30)));
        assert_eq!(ValueType::Int64.value("30.5"), None);
        assert_eq!(ValueType::Timestamp.value("1970-01-01T00:00:01Z"), Some(ParamValue::Timestamp(1_000_000)));
        assert_eq!(ValueType::Timestamp.value("1970-01-01"), None);
        assert_eq!(ValueType::Float64.value("NaN"), None);
        assert_eq!(ValueType::Date.value("2026-02-30"), None);
        let literal = ValueType::Utf8.literal(&ParamValue::Utf8("it's; drop".to_owned()));
        assert_eq!(literal.to_string(), "CAST('it''s; drop' AS VARCHAR)");
    }
}
