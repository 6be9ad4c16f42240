//! Values of parameters: read from a query string or from JSON by their type, and written as ClickHouse reads a parameter. A value is never
//! part of the SQL text.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value as Json;
use uuid::Uuid;

use super::number::{Number, range};
use super::time;
use super::types::{Member, Type};

/// A value that its type allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    Null,
    /// Written without quotes: a number, true or false.
    Bare(String),
    /// Written in quotes within arrays and tuples.
    Quoted(String),
    Array(Vec<Value>),
    Tuple(Vec<Value>),
}

impl Value {
    /// Returns the text of the parameter `param_NAME` of ClickHouse's HTTP interface.
    pub fn parameter(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Null => out.push_str("\\N"),
            Self::Quoted(text) => escape(text, &mut out),
            other => other.write(&mut out),
        }
        out
    }

    /// Writes the value within an array or a tuple.
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("NULL"),
            Self::Bare(text) => out.push_str(text),
            Self::Quoted(text) => {
                out.push('\'');
                escape(text, out);
                out.push('\'');
            }
            Self::Array(values) => write_all(values, ('[', ']'), out),
            Self::Tuple(values) => write_all(values, ('(', ')'), out),
        }
    }
}

fn write_all(values: &[Value], (open, close): (char, char), out: &mut String) {
    out.push(open);
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        value.write(out);
    }
    out.push(close);
}

/// Writes a text as ClickHouse's format TabSeparated does, with quotes escaped too.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            letter => out.push(letter),
        }
    }
}

impl Type {
    /// Reads a value of a query string. Arrays and tuples are in JSON there.
    ///
    /// # Errors
    /// What the value must be, to follow "it must be".
    pub fn read_text(&self, text: &str) -> Result<Value, String> {
        let found = match self {
            Self::LowCardinality(inner) | Self::Nullable(inner) => return inner.read_text(text),
            Self::Array(_) | Self::Tuple(_) => {
                let json = serde_json::from_str(text).map_err(|_| self.expected())?;
                return self.read_json(&json);
            }
            Self::Bool => match text {
                "true" | "1" => Some(Value::Bare("true".to_owned())),
                "false" | "0" => Some(Value::Bare("false".to_owned())),
                _ => None,
            },
            Self::Integer { is_signed, bits } => {
                let (least, most) = range(*is_signed, *bits);
                let number = Number::parse(text).filter(|_| !text.contains('.'));
                number.filter(|number| *number >= least && *number <= most).map(bare)
            }
            Self::Decimal { precision, scale } => {
                let fits = |number: &Number| {
                    let (whole, fraction) = number.digits();
                    whole <= usize::from(precision - scale) && fraction <= usize::from(*scale)
                };
                Number::parse(text).filter(fits).map(bare)
            }
            Self::Float(_) => self.float(text),
            Self::String => Some(Value::Quoted(text.to_owned())),
            Self::FixedString(bytes) => (text.len() <= *bytes).then(|| Value::Quoted(text.to_owned())),
            Self::Enum(names) => names.iter().find(|name| *name == text).cloned().map(Value::Quoted),
            Self::Date => time::date(text, false).map(Value::Quoted),
            Self::Date32 => time::date(text, true).map(Value::Quoted),
            Self::DateTime { .. } => time::time(text, None).map(Value::Quoted),
            Self::DateTime64 { precision, .. } => time::time(text, Some(*precision)).map(Value::Quoted),
            Self::Uuid => Uuid::try_parse(text).ok().map(|id| Value::Quoted(id.to_string())),
            Self::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|ip| Value::Quoted(ip.to_string())),
            Self::Ipv6 => text.parse::<Ipv6Addr>().ok().map(|ip| Value::Quoted(ip.to_string())),
            Self::Map(..) | Self::Other(_) => None,
        };
        found.ok_or_else(|| self.expected())
    }

    /// Reads the values of a parameter that may be repeated in a query string: the elements of an array.
    ///
    /// # Errors
    /// As [`Type::read_text`].
    pub fn read_texts(&self, texts: &[String]) -> Result<Value, String> {
        match (self, texts) {
            (Self::Array(inner), texts) => {
                let values: Result<_, _> = texts.iter().map(|text| inner.read_text(text)).collect();
                values.map(Value::Array)
            }
            (kind, [text]) => kind.read_text(text),
            (kind, _) => Err(format!("{}, given once", kind.expected())),
        }
    }

    /// Reads a value of a JSON object.
    ///
    /// # Errors
    /// As [`Type::read_text`].
    pub fn read_json(&self, json: &Json) -> Result<Value, String> {
        match (self, json) {
            (Self::LowCardinality(inner), json) => inner.read_json(json),
            (Self::Nullable(_), Json::Null) => Ok(Value::Null),
            (Self::Nullable(inner), json) => inner.read_json(json),
            (Self::Array(inner), Json::Array(elements)) => {
                let values: Result<_, _> = elements.iter().map(|element| inner.read_json(element)).collect();
                values.map(Value::Array)
            }
            (Self::Tuple(members), Json::Array(elements)) if members.len() == elements.len() => {
                let pairs = members.iter().zip(elements);
                let values: Result<_, _> =
                    pairs.map(|(member, element)| member.kind.read_json(element)).collect();
                values.map(Value::Tuple)
            }
            (Self::Tuple(members), Json::Object(object)) if object.len() == members.len() => {
                let value = |member: &Member| {
                    let element = member.name.as_ref().and_then(|name| object.get(name));
                    member.kind.read_json(element.ok_or_else(|| self.expected())?)
                };
                members.iter().map(value).collect::<Result<_, _>>().map(Value::Tuple)
            }
            (Self::Bool, Json::Bool(value)) => Ok(Value::Bare(value.to_string())),
            (Self::Integer { .. }, Json::Number(number)) => self.read_text(&number.to_string()),
            // A float is not exact, so a decimal with a fraction must be text.
            (Self::Decimal { .. }, Json::Number(number)) if number.is_u64() || number.is_i64() => {
                self.read_text(&number.to_string())
            }
            (Self::Float(_), Json::Number(number)) => self.read_text(&number.to_string()),
            // Many programs cannot write a number of 64 bits and more, so these may be text.
            (Self::Integer { bits: ..=32, .. }, _) => Err(self.expected()),
            (Self::Bool | Self::Float(_) | Self::Array(_) | Self::Tuple(_), _) => Err(self.expected()),
            (_, Json::String(text)) => self.read_text(text),
            _ => Err(self.expected()),
        }
    }

    fn float(&self, text: &str) -> Option<Value> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number: f64 = text.parse().ok().filter(|_| is_number)?;
        let fits = number.is_finite() && (*self != Self::Float(32) || (number as f32).is_finite());
        fits.then(|| Value::Bare(format!("{number:?}")))
    }

    /// Describes the values of the type, to follow "it must be".
    pub fn expected(&self) -> String {
        match self {
            Self::LowCardinality(inner) => inner.expected(),
            Self::Nullable(inner) => format!("{}, or left out", inner.expected()),
            Self::Bool => "true or false".to_owned(),
            Self::Integer { is_signed, bits } => {
                let (least, most) = range(*is_signed, *bits);
                format!("a whole number from {least} to {most}")
            }
            Self::Float(_) => "a number".to_owned(),
            Self::Decimal { precision, scale } => format!(
                "a decimal number with at most {} digits before and {scale} after the decimal point; in JSON, text such as \"1.5\"",
                precision - scale
            ),
            Self::String => "text".to_owned(),
            Self::FixedString(bytes) => format!("text of at most {bytes} bytes"),
            Self::Enum(names) => format!("one of {}", names.join(", ")),
            Self::Date | Self::Date32 => "a date such as 2019-10-22".to_owned(),
            Self::DateTime { .. } => "a time such as 2019-10-22T08:00:00Z, in whole seconds".to_owned(),
            Self::DateTime64 { precision, .. } => format!(
                "a time such as 2019-10-22T08:00:00Z, with at most {precision} digits after the second"
            ),
            Self::Uuid => "a UUID".to_owned(),
            Self::Ipv4 => "an IPv4 address".to_owned(),
            Self::Ipv6 => "an IPv6 address".to_owned(),
            Self::Array(inner) => format!("a list, each element {}", inner.expected()),
            Self::Tuple(members) => {
                let names = |member: &Member| member.name.clone().unwrap_or_else(|| member.kind.to_string());
                let names: Vec<String> = members.iter().map(names).collect();
                format!("a JSON array of {}", names.join(", "))
            }
            Self::Map(..) | Self::Other(_) => "left out".to_owned(),
        }
    }
}

fn bare(number: Number) -> Value {
    Value::Bare(number.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn kind(text: &str) -> Type {
        Type::parse(text).unwrap()
    }

    #[test]
    fn a_value_is_written_by_its_type() {
        for (of, text, written) in [
            ("Bool", "1", "true"),
            ("UInt8", "255", "255"),
            ("UInt8", "+007", "7"),
            (
                "Int128",
                "-170141183460469231731687303715884105728",
                "-170141183460469231731687303715884105728",
            ),
            ("Float64", "1e3", "1000.0"),
            ("Decimal(4, 2)", "-12.50", "-12.5"),
            ("String", "", ""),
            ("String", "it's\t\\a\n\r\0", r"it\'s\t\\a\n\r\0"),
            ("LowCardinality(Nullable(String))", "NULL", "NULL"),
            ("Enum8('up' = 1)", "up", "up"),
            ("DateTime64(3, 'UTC')", "2019-10-22T08:00:00.5Z", "2019-10-22 08:00:00.500"),
            ("UUID", "01890A5D-AC96-774B-BCCE-B302099A8057", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ("IPv6", "::1", "::1"),
            ("Array(String)", r#"["a'","b"]"#, r"['a\'','b']"),
            ("Tuple(String, UInt8)", r#"["a", 1]"#, "('a',1)"),
        ] {
            assert_eq!(kind(of).read_text(text).unwrap().parameter(), written, "{of} {text:?}");
        }
    }

    #[test]
    fn a_value_that_the_type_does_not_have_is_refused() {
        for (of, text) in [
            ("Bool", "yes"),
            ("UInt8", "256"),
            ("UInt8", "-1"),
            ("UInt8", "1.5"),
            ("UInt8", ""),
            ("UInt8", "1e1"),
            ("Int256", "57896044618658097711785492504343953926634992332820282019728792003956564819968"),
            ("Float64", "nan"),
            ("Float64", "inf"),
            ("Float64", "1e999"),
            ("Float32", "1e39"),
            ("Decimal(4, 2)", "123"),
            ("Decimal(4, 2)", "1.234"),
            ("FixedString(3)", "abcd"),
            ("Enum8('up' = 1)", "1"),
            ("Date", "2019-10-22T00:00:00Z"),
            ("UUID", "1"),
            ("IPv4", "1.2.3"),
            ("Tuple(String, UInt8)", r#"["a"]"#),
            ("Tuple(String, UInt8)", "('a', 1)"),
            ("Array(UInt8)", "[1, 256]"),
            ("Array(UInt8)", "[1"),
        ] {
            assert!(kind(of).read_text(text).is_err(), "{of} {text:?}");
        }
    }

    #[test]
    fn json_values_keep_their_type() {
        let pairs = kind("Array(Tuple(base String, quote LowCardinality(String), n Nullable(UInt8)))");
        let written = pairs.read_json(&json!([["BTC", "US'D", 1], { "n": null, "quote": "b", "base": "a" }]));
        assert_eq!(written.unwrap().parameter(), r"[('BTC','US\'D',1),('a','b',NULL)]");
        assert_eq!(kind("Nullable(UInt8)").read_json(&json!(null)).unwrap().parameter(), "\\N");
        assert_eq!(kind("Decimal(38, 8)").read_json(&json!("0.1")).unwrap().parameter(), "0.1");
        assert_eq!(kind("UInt64").read_json(&json!("7")).unwrap().parameter(), "7");
        assert_eq!(kind("UInt64").read_json(&json!(u64::MAX)).unwrap().parameter(), u64::MAX.to_string());
        for (of, json) in [
            ("String", json!(1)),
            ("String", json!(null)),
            ("UInt8", json!(true)),
            ("UInt8", json!("1")),
            ("UInt8", json!(1.0)),
            ("Bool", json!("true")),
            ("Bool", json!(1)),
            ("Float64", json!("1")),
            ("Decimal(38, 8)", json!(0.1)),
            ("Array(String)", json!("a")),
            ("Array(String)", json!({ "a": "b" })),
            ("Tuple(a String, b String)", json!({ "a": "x", "c": "y" })),
            ("Tuple(a String, b String)", json!(["x", "y", "z"])),
        ] {
            assert!(kind(of).read_json(&json).is_err(), "{of} {json}");
        }
    }

    #[test]
    fn repeated_values_are_the_elements_of_an_array() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let read = |of: &str, given: &[&str]| kind(of).read_texts(&texts(given));
        assert_eq!(read("Array(String)", &["a", "['b']"]).unwrap().parameter(), r"['a','[\'b\']']");
        assert_eq!(read("Array(Tuple(String, UInt8))", &[r#"["a",1]"#]).unwrap().parameter(), "[('a',1)]");
        assert_eq!(read("Array(UInt8)", &[]).unwrap().parameter(), "[]");
        assert!(read("UInt8", &["1", "2"]).unwrap_err().ends_with("given once"));
    }

    proptest! {
        #[test]
        fn no_text_ends_its_quotes(text: String) {
            let written = kind("Array(String)").read_json(&json!([text])).unwrap().parameter();
            let inner = written.strip_prefix("['").and_then(|rest| rest.strip_suffix("']")).unwrap();
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                prop_assert!(!matches!(letter, '\'' | '\t' | '\n' | '\r' | '\0'));
                if letter == '\\' {
                    prop_assert!(letters.next().is_some());
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            for of in ["UInt8", "Int256", "Decimal(9, 2)", "Float32", "Date", "DateTime('UTC')",
                "DateTime64(9, 'UTC')", "UUID", "IPv4", "IPv6", "Bool", "Array(Tuple(String, UInt8))"]
            {
                if let Ok(value) = kind(of).read_text(&text) {
                    prop_assert!(!value.parameter().contains(['\t', '\n', '\0']));
                }
            }
        }
    }
}
