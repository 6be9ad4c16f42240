//! `-- param NAME [required] [default=V] [min=N] [max=N] description`

use std::cmp::Ordering;

use super::number::Number;
use super::types::Type;
use super::value::Value;

/// Elements of an array, unless `max` allows fewer.
pub const MAX_ELEMENTS: u64 = 10_000;

/// Names that every endpoint has for itself.
pub const RESERVED: [&str; 6] = ["cursor", "escape_formulas", "format", "height", "theme", "width"];

/// A parameter of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub kind: Type,
    pub about: String,
    pub is_required: bool,
    /// The value if it is left out, as the file has it.
    pub default: Option<String>,
    /// The value if it is left out.
    pub left_out: Option<Value>,
    /// The smallest and largest number, or number of elements.
    pub minimum: Option<Number>,
    pub maximum: Option<Number>,
    /// Whether the statement has it. The `limit` of pages may be without.
    pub is_bound: bool,
}

/// The line in the file, before the type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub is_required: bool,
    pub default: Option<String>,
    pub minimum: Option<String>,
    pub maximum: Option<String>,
    pub about: String,
}

impl Line {
    /// # Errors
    /// Something is missing, repeated or unknown. The error says what to do.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, mut rest) = word(text);
        if !is_name(name) {
            return Err(format!(
                "{name:?} is not the name of a parameter; use up to 48 lower case letters, digits and _, first a letter"
            ));
        }
        let mut line = Self {
            name: name.to_owned(),
            is_required: false,
            default: None,
            minimum: None,
            maximum: None,
            about: String::new(),
        };
        loop {
            let (attribute, after) = word(rest);
            let (slot, value) = match attribute.split_once('=') {
                None if attribute == "required" => {
                    line.is_required = true;
                    rest = after;
                    continue;
                }
                None => break,
                Some(("default", value)) => (&mut line.default, value),
                Some(("min", value)) => (&mut line.minimum, value),
                Some(("max", value)) => (&mut line.maximum, value),
                Some((unknown, _)) => {
                    return Err(format!(
                        "parameter {name}: unknown attribute {unknown}; use required, default=, min= or max="
                    ));
                }
            };
            if slot.replace(value.trim_matches('"').to_owned()).is_some() {
                return Err(format!("parameter {name}: {attribute} repeats an attribute; remove one"));
            }
            rest = after;
        }
        if rest.is_empty() {
            return Err(format!("parameter {name} has no description; add one to the end of the line"));
        }
        rest.clone_into(&mut line.about);
        if line.is_required && line.default.is_some() {
            return Err(format!("parameter {name} is required and has a default; remove one of the two"));
        }
        Ok(line)
    }
}

/// Splits off the first word. A value in quotes may have spaces: `default="a b"`.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut is_quoted = false;
    let end = text.find(|letter: char| {
        is_quoted ^= letter == '"';
        letter.is_whitespace() && !is_quoted
    });
    let (word, rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""));
    (word, rest.trim())
}

/// Whether a parameter or column of a header may have this name.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Parameter {
    /// # Errors
    /// An attribute does not fit the type. The error says what to do.
    pub(super) fn new(line: Line, kind: Type, is_bound: bool) -> Result<Self, String> {
        let name = line.name.as_str();
        let bound = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match Number::parse(text) {
                Some(number) if has_bounds(&kind) => Ok(Some(number)),
                Some(_) => {
                    Err(format!("parameter {name}: min and max are for numbers and arrays; remove them"))
                }
                None => Err(format!("parameter {name}: {text} is not a number; write digits")),
            },
        };
        let (minimum, maximum) = (bound(&line.minimum)?, bound(&line.maximum)?);
        if let (Some(least), Some(most)) = (&minimum, &maximum)
            && least > most
        {
            return Err(format!("parameter {name}: min is larger than max; swap them"));
        }
        let mut parameter = Self {
            name: line.name.clone(),
            kind,
            about: line.about,
            is_required: line.is_required,
            default: line.default,
            left_out: None,
            minimum,
            maximum,
            is_bound,
        };
        parameter.left_out = parameter.value_if_left_out()?;
        Ok(parameter)
    }

    fn value_if_left_out(&self) -> Result<Option<Value>, String> {
        let name = &self.name;
        if let Some(default) = &self.default {
            let value = self.kind.read_text(default).and_then(|value| self.check(value));
            return value.map(Some).map_err(|error| {
                format!("parameter {name}: the default {default:?} is invalid, it must be {error}; change it")
            });
        }
        match &self.kind {
            _ if self.is_required => Ok(None),
            Type::Array(_) if self.minimum.is_none() => Ok(Some(Value::Array(Vec::new()))),
            kind if kind.bare().1 => Ok(Some(Value::Null)),
            kind => Err(format!(
                "parameter {name} has no value if it is left out; add required or default=, or use the type Nullable({kind})"
            )),
        }
    }

    /// Reads its values in a query string.
    ///
    /// # Errors
    /// What the value must be, to follow "it must be".
    pub fn read_texts(&self, texts: &[String]) -> Result<Value, String> {
        self.check(self.kind.read_texts(texts)?)
    }

    /// Reads its value in a JSON object.
    ///
    /// # Errors
    /// As [`Parameter::read_texts`].
    pub fn read_json(&self, json: &serde_json::Value) -> Result<Value, String> {
        self.check(self.kind.read_json(json)?)
    }

    /// Compares a value, or the number of its elements, with the limits.
    fn check(&self, value: Value) -> Result<Value, String> {
        let is_within = match &value {
            Value::Array(values) => {
                let is_short = self.maximum.is_some() || values.len() as u64 <= MAX_ELEMENTS;
                is_short && self.is_within(|limit| Number::whole(values.len() as u64).partial_cmp(limit))
            }
            Value::Bare(text) if matches!(self.kind.bare().0, Type::Float(_)) => {
                let float = |text: &str| text.parse::<f64>().ok();
                self.is_within(|limit| float(text)?.partial_cmp(&float(&limit.to_string())?))
            }
            Value::Bare(text) => match Number::parse(text) {
                Some(number) => self.is_within(|limit| number.partial_cmp(limit)),
                None => true,
            },
            _ => true,
        };
        if is_within { Ok(value) } else { Err(self.expected()) }
    }

    fn is_within(&self, compare: impl Fn(&Number) -> Option<Ordering>) -> bool {
        let is_low = self.minimum.as_ref().is_some_and(|least| compare(least) == Some(Ordering::Less));
        let is_high = self.maximum.as_ref().is_some_and(|most| compare(most) == Some(Ordering::Greater));
        !is_low && !is_high
    }

    /// Describes its values, to follow "it must be".
    pub fn expected(&self) -> String {
        let what = self.kind.expected();
        let is_array = matches!(self.kind, Type::Array(_));
        let limits = match (&self.minimum, &self.maximum) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) if is_array => format!("at most {MAX_ELEMENTS}"),
            (None, None) => return what,
        };
        match (is_array, self.kind.bare().0) {
            (true, _) => format!("{what}, with {limits} elements"),
            (_, Type::Integer { .. }) => format!("a whole number {limits}"),
            _ => format!("{what}, {limits}"),
        }
    }
}

fn has_bounds(kind: &Type) -> bool {
    matches!(kind.bare().0, Type::Integer { .. } | Type::Float(_) | Type::Decimal { .. } | Type::Array(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(line: &str, kind: &str) -> Result<Parameter, String> {
        Parameter::new(Line::parse(line)?, Type::parse(kind)?, true)
    }

    #[test]
    fn a_line_has_a_name_attributes_and_a_description() {
        let limit =
            parameter("limit  default=500 min=1 max=10000  Candles: from=now at most", "UInt32").unwrap();
        assert_eq!(limit.about, "Candles: from=now at most");
        assert_eq!(limit.left_out, Some(Value::Bare("500".to_owned())));
        assert_eq!(limit.expected(), "a whole number from 1 to 10000");
        let base = parameter("base required Currency", "String").unwrap();
        assert_eq!((base.is_required, base.left_out), (true, None));
        let text = parameter("text default=\"a b\" A text", "String").unwrap();
        assert_eq!(text.left_out, Some(Value::Quoted("a b".to_owned())));
        assert_eq!(parameter("at A time", "Nullable(Date)").unwrap().left_out, Some(Value::Null));
        assert_eq!(parameter("all A list", "Array(Date)").unwrap().left_out, Some(Value::Array(Vec::new())));
        let list = parameter(r#"all default=["a","b"] A list"#, "Array(String)").unwrap();
        assert_eq!(list.left_out.unwrap().parameter(), "['a','b']");
    }

    #[test]
    fn each_mistake_says_what_to_do() {
        for (line, kind, message) in [
            ("", "String", "not the name"),
            ("Base required x", "String", "not the name"),
            ("a-b required x", "String", "not the name"),
            ("base", "String", "no description; add one"),
            ("base required", "String", "no description; add one"),
            ("base required default=1 x", "String", "required and has a default"),
            ("base default=1 default=2 x", "String", "repeats an attribute"),
            ("base maximum=1 x", "UInt8", "unknown attribute maximum; use required"),
            ("base x", "String", "add required or default=, or use the type Nullable(String)"),
            ("base default=256 x", "UInt8", "the default \"256\" is invalid, it must be a whole number"),
            (
                "base default=5 max=4 x",
                "UInt8",
                "the default \"5\" is invalid, it must be a whole number at most 4",
            ),
            ("base default=0 min=1 x", "Float64", "the default \"0\" is invalid"),
            ("base default=1 min=5 max=4 x", "UInt8", "min is larger than max"),
            ("base required max=x x", "UInt8", "x is not a number"),
            ("base required max=1 x", "String", "min and max are for numbers"),
            ("base default=yes x", "Bool", "it must be true or false"),
            ("base min=1 x", "Array(UInt8)", "add required or default="),
        ] {
            let error = parameter(line, kind).unwrap_err();
            assert!(error.contains(message), "{line:?} {kind}: {error}");
        }
    }

    #[test]
    fn limits_are_of_numbers_and_of_elements() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let amount = parameter("a required min=0.5 max=10 x", "Float64").unwrap();
        for (text, fits) in [("0.5", true), ("0.49", false), ("1e1", true), ("1e2", false), ("1e300", false)]
        {
            assert_eq!(amount.read_texts(&texts(&[text])).is_ok(), fits, "{text}");
        }
        let list = parameter("a required min=1 max=2 x", "Array(UInt8)").unwrap();
        assert!(list.read_texts(&texts(&["1", "2"])).is_ok());
        let error = list.read_texts(&texts(&["1", "2", "3"])).unwrap_err();
        assert!(error.ends_with("with from 1 to 2 elements"), "{error}");
        let open = parameter("a x", "Array(UInt8)").unwrap();
        let many = vec!["1".to_owned(); 10_001];
        assert!(open.read_texts(&many).unwrap_err().ends_with("with at most 10000 elements"));
        assert!(open.read_texts(&many[1..]).is_ok());
    }
}
