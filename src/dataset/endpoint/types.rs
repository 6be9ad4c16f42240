//! ClickHouse's data types, as parameters and results have them.

use std::fmt::{self, Write};

use roundhouse_sql::{Token, Tokens};

/// Most types within one another.
const MAX_DEPTH: usize = 8;

/// A data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Integer {
        is_signed: bool,
        /// 8, 16, … 256.
        bits: u16,
    },
    /// 32 or 64 bits.
    Float(u8),
    Decimal {
        precision: u8,
        scale: u8,
    },
    String,
    /// A text of this many bytes.
    FixedString(usize),
    /// One of these names.
    Enum(Vec<String>),
    Date,
    /// A date with a larger range.
    Date32,
    /// A time in seconds.
    DateTime {
        zone: Option<String>,
    },
    DateTime64 {
        /// Digits of a second after the decimal point.
        precision: u8,
        zone: Option<String>,
    },
    Uuid,
    Ipv4,
    Ipv6,
    LowCardinality(Box<Type>),
    Nullable(Box<Type>),
    Array(Box<Type>),
    Tuple(Vec<Member>),
    Map(Box<Type>, Box<Type>),
    /// One that only results have.
    Other(String),
}

/// A member of a tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Option<String>,
    pub kind: Type,
}

impl Type {
    /// Reads a type as ClickHouse writes it.
    ///
    /// # Errors
    /// It is malformed. The error says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, tokens: Tokens::new(text.as_bytes()).collect(), at: 0 };
        let kind = reader.kind(0)?;
        match reader.tokens.get(reader.at) {
            None => Ok(kind),
            Some(token) => Err(format!("{} is unexpected in the type {text}", reader.shown(token))),
        }
    }

    /// Returns the type without `LowCardinality` and `Nullable`, and whether it is nullable.
    pub fn bare(&self) -> (&Self, bool) {
        match self {
            Self::LowCardinality(inner) => inner.bare(),
            Self::Nullable(inner) => (inner.bare().0, true),
            other => (other, false),
        }
    }

    /// Checks that a parameter may have this type.
    ///
    /// # Errors
    /// It may not. The error says why, and what to do.
    pub fn check_parameter(&self) -> Result<(), String> {
        match self {
            Self::Nullable(inner) | Self::LowCardinality(inner) | Self::Array(inner) => {
                inner.check_parameter()
            }
            Self::Tuple(members) => members.iter().try_for_each(|member| member.kind.check_parameter()),
            Self::DateTime { zone } | Self::DateTime64 { zone, .. } if zone.as_deref() != Some("UTC") => {
                Err(format!("times of parameters are in UTC; write {}", self.in_utc()))
            }
            Self::Map(..) => {
                Err("a parameter cannot be a Map; use Array(Tuple(key Type, value Type))".to_owned())
            }
            Self::Other(name) => Err(format!("unknown type {name}; use one of {KNOWN}")),
            _ => Ok(()),
        }
    }

    fn in_utc(&self) -> String {
        match self {
            Self::DateTime64 { precision, .. } => format!("DateTime64({precision}, 'UTC')"),
            _ => "DateTime('UTC')".to_owned(),
        }
    }

    /// Returns the type in which a result is sent, if it is another one. Whole numbers of more than 64 bits are text, since most programs
    /// read them as floats. So are types that Arrow and Parquet lack.
    pub fn sent_as(&self) -> Option<String> {
        let mut out = String::new();
        self.write_sent(&mut out).then_some(out)
    }

    /// Writes the type in which a result is sent. Returns whether it is another one.
    fn write_sent(&self, out: &mut String) -> bool {
        match self {
            Self::Integer { bits: 128.., .. } | Self::Enum(_) | Self::Uuid | Self::Ipv4 | Self::Ipv6 => {
                out.push_str("String");
                true
            }
            Self::LowCardinality(inner) => {
                inner.write_sent(out);
                true
            }
            Self::Nullable(inner) => within(out, "Nullable", |out| inner.write_sent(out)),
            Self::Array(inner) => within(out, "Array", |out| inner.write_sent(out)),
            Self::Map(key, value) => within(out, "Map", |out| {
                let is_other_key = key.write_sent(out);
                out.push_str(", ");
                value.write_sent(out) || is_other_key
            }),
            Self::Tuple(members) => within(out, "Tuple", |out| {
                let mut is_other = false;
                for (at, member) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    if let Some(name) = &member.name {
                        push_name(out, name);
                        out.push(' ');
                    }
                    is_other |= member.kind.write_sent(out);
                }
                is_other
            }),
            other => {
                // Writing to memory cannot fail.
                let _ = write!(out, "{other}");
                false
            }
        }
    }
}

fn within(out: &mut String, name: &str, write: impl FnOnce(&mut String) -> bool) -> bool {
    out.push_str(name);
    out.push('(');
    let is_other = write(out);
    out.push(')');
    is_other
}

/// Writes a name in quotes.
pub fn push_name(out: &mut String, name: &str) {
    out.push('`');
    for letter in name.chars() {
        if matches!(letter, '`' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('`');
}

/// The types of parameters, for errors.
const KNOWN: &str = "Bool, Int8…256, UInt8…256, Float32, Float64, Decimal(P, S), String, FixedString(N), Enum('a', 'b'), Date, Date32, \
     DateTime('UTC'), DateTime64(P, 'UTC'), UUID, IPv4, IPv6, LowCardinality(T), Nullable(T), Array(T), Tuple(T, …)";

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = |zone: &Option<String>| zone.as_ref().map(|zone| format!("'{zone}'"));
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Integer { is_signed, bits } => write!(f, "{}Int{bits}", if *is_signed { "" } else { "U" }),
            Self::Float(bits) => write!(f, "Float{bits}"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::String => f.write_str("String"),
            Self::FixedString(bytes) => write!(f, "FixedString({bytes})"),
            Self::Enum(names) => write!(f, "Enum({})", names.join(", ")),
            Self::Date => f.write_str("Date"),
            Self::Date32 => f.write_str("Date32"),
            Self::DateTime { zone: None } => f.write_str("DateTime"),
            Self::DateTime { zone: Some(name) } => write!(f, "DateTime('{name}')"),
            Self::DateTime64 { precision, zone: named } => match zone(named) {
                Some(name) => write!(f, "DateTime64({precision}, {name})"),
                None => write!(f, "DateTime64({precision})"),
            },
            Self::Uuid => f.write_str("UUID"),
            Self::Ipv4 => f.write_str("IPv4"),
            Self::Ipv6 => f.write_str("IPv6"),
            Self::LowCardinality(inner) => write!(f, "LowCardinality({inner})"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::Array(inner) => write!(f, "Array({inner})"),
            Self::Map(key, value) => write!(f, "Map({key}, {value})"),
            Self::Tuple(members) => {
                let members: Vec<String> = members.iter().map(Member::to_string).collect();
                write!(f, "Tuple({})", members.join(", "))
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

/// Reads a type from its tokens.
struct Reader<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn shown(&self, token: &Token<'_>) -> &'a str {
        self.text.get(token.start..token.end).unwrap_or("a character")
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }

    fn peek_is(&self, sign: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(sign.as_bytes()))
    }

    fn take(&mut self, sign: &str) -> Result<(), String> {
        match self.next() {
            Some(token) if token.is(sign.as_bytes()) => Ok(()),
            Some(token) => {
                Err(format!("{sign} is expected before {} in the type {}", self.shown(&token), self.text))
            }
            None => Err(format!("{sign} is missing at the end of the type {}", self.text)),
        }
    }

    fn kind(&mut self, depth: usize) -> Result<Type, String> {
        if depth >= MAX_DEPTH {
            return Err(format!("the type {} is nested more than {MAX_DEPTH} levels deep", self.text));
        }
        let from = self.tokens.get(self.at).map_or(self.text.len(), |token| token.start);
        let Some(name) = self.next().filter(|token| token.word) else {
            return Err(format!("a type is missing in {:?}; write one, such as String", self.text));
        };
        let name = self.shown(&name).to_owned();
        let kind = match name.as_str() {
            "Bool" => Type::Bool,
            "Float32" => Type::Float(32),
            "Float64" => Type::Float(64),
            "String" => Type::String,
            "Date" => Type::Date,
            "Date32" => Type::Date32,
            "UUID" => Type::Uuid,
            "IPv4" => Type::Ipv4,
            "IPv6" => Type::Ipv6,
            "LowCardinality" => Type::LowCardinality(self.inner(depth)?),
            "Nullable" => Type::Nullable(self.inner(depth)?),
            "Array" => Type::Array(self.inner(depth)?),
            "Tuple" => Type::Tuple(self.members(depth)?),
            "Map" => {
                self.take("(")?;
                let key = self.kind(depth + 1)?;
                self.take(",")?;
                let value = self.kind(depth + 1)?;
                self.take(")")?;
                Type::Map(Box::new(key), Box::new(value))
            }
            "DateTime" => Type::DateTime { zone: self.optional_zone()? },
            "SimpleAggregateFunction" => {
                self.take("(")?;
                let _function = self.next();
                self.take(",")?;
                let kind = self.kind(depth + 1)?;
                self.take(")")?;
                kind
            }
            name => match integer(name) {
                Some(kind) => kind,
                None => self.with_arguments(name, from)?,
            },
        };
        Ok(kind)
    }

    fn inner(&mut self, depth: usize) -> Result<Box<Type>, String> {
        self.take("(")?;
        let kind = self.kind(depth + 1)?;
        self.take(")")?;
        Ok(Box::new(kind))
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member>, String> {
        self.take("(")?;
        let mut members = Vec::new();
        loop {
            // A name is followed by the type, a type by a bracket, a comma or the end.
            let is_named = self.tokens.get(self.at + 1).is_some_and(|next| next.word);
            let name = if is_named { self.next().map(|name| name.unquoted()) } else { None };
            members.push(Member { name, kind: self.kind(depth + 1)? });
            if !self.peek_is(",") {
                break;
            }
            self.take(",")?;
        }
        self.take(")")?;
        Ok(members)
    }

    fn optional_zone(&mut self) -> Result<Option<String>, String> {
        if !self.peek_is("(") {
            return Ok(None);
        }
        self.take("(")?;
        let zone = self.zone()?;
        self.take(")")?;
        Ok(Some(zone))
    }

    fn zone(&mut self) -> Result<String, String> {
        let zone = self.next().map(|zone| zone.unquoted()).unwrap_or_default();
        let is_zone = !zone.is_empty()
            && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        if is_zone { Ok(zone) } else { Err(format!("a time zone is expected in the type {}", self.text)) }
    }

    /// A type that always has arguments, or one that is not known.
    fn with_arguments(&mut self, name: &str, from: usize) -> Result<Type, String> {
        let arguments = self.arguments()?;
        let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse::<u8>().ok());
        let scale = number(0).unwrap_or_default();
        let kind = match (name, arguments.as_slice()) {
            ("Decimal", [_]) => number(0).map(|precision| Type::Decimal { precision, scale: 0 }),
            ("Decimal", [_, _]) => {
                number(0).zip(number(1)).map(|(precision, scale)| Type::Decimal { precision, scale })
            }
            ("Decimal32", [_]) => Some(Type::Decimal { precision: 9, scale }),
            ("Decimal64", [_]) => Some(Type::Decimal { precision: 18, scale }),
            ("Decimal128", [_]) => Some(Type::Decimal { precision: 38, scale }),
            ("Decimal256", [_]) => Some(Type::Decimal { precision: 76, scale }),
            ("FixedString", [bytes]) => {
                bytes.parse().ok().filter(|bytes| (1..=4096).contains(bytes)).map(Type::FixedString)
            }
            ("DateTime64", [_]) => number(0).map(|precision| Type::DateTime64 { precision, zone: None }),
            ("DateTime64", [_, zone]) => number(0).map(|precision| Type::DateTime64 {
                precision,
                zone: Some(zone.trim_matches('\'').to_owned()),
            }),
            ("Enum" | "Enum8" | "Enum16", [_, ..]) => enum_names(&arguments),
            ("Decimal" | "FixedString" | "DateTime64" | "Enum", _) => None,
            _ => {
                let to = self.tokens.get(self.at.saturating_sub(1)).map_or(self.text.len(), |last| last.end);
                Some(Type::Other(self.text.get(from..to).unwrap_or(name).to_owned()))
            }
        };
        kind.filter(is_possible).ok_or_else(|| format!("the arguments of the type {} are invalid", self.text))
    }

    /// The arguments in brackets, each as its text.
    fn arguments(&mut self) -> Result<Vec<String>, String> {
        if !self.peek_is("(") {
            return Ok(Vec::new());
        }
        self.take("(")?;
        let mut arguments = vec![String::new()];
        let mut depth = 0_usize;
        loop {
            let Some(token) = self.next() else {
                return Err(format!(") is missing at the end of the type {}", self.text));
            };
            match token.text {
                b")" if depth == 0 => return Ok(arguments),
                b"," if depth == 0 => arguments.push(String::new()),
                text => {
                    depth = depth + usize::from(text == b"(") - usize::from(text == b")");
                    let shown = self.shown(&token);
                    arguments.last_mut().unwrap_or(&mut String::new()).push_str(shown);
                }
            }
        }
    }
}

fn integer(name: &str) -> Option<Type> {
    let (is_signed, bits) = match name.strip_prefix("UInt") {
        Some(bits) => (false, bits),
        None => (true, name.strip_prefix("Int")?),
    };
    let bits = matches!(bits, "8" | "16" | "32" | "64" | "128" | "256").then(|| bits.parse().ok())??;
    Some(Type::Integer { is_signed, bits })
}

/// Reads `'a' = 1` and `'a'`.
fn enum_names(arguments: &[String]) -> Option<Type> {
    let name = |argument: &String| {
        let tokens: Vec<Token<'_>> = Tokens::new(argument.as_bytes()).collect();
        let is_numbered =
            |rest: &[Token<'_>]| rest.is_empty() || rest.first().is_some_and(|sign| sign.is(b"="));
        match tokens.as_slice() {
            [name, rest @ ..] if name.text.starts_with(b"'") && is_numbered(rest) => {
                Some(unescaped(&name.unquoted()))
            }
            _ => None,
        }
    };
    arguments.iter().map(name).collect::<Option<_>>().map(Type::Enum)
}

/// Removes the backslashes and doubled quotes of a quoted text.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            '\'' => {
                letters.next_if_eq(&'\'');
                out.push('\'');
            }
            letter => out.push(letter),
        }
    }
    out
}

fn is_possible(kind: &Type) -> bool {
    match kind {
        Type::Decimal { precision, scale } => (1..=76).contains(precision) && scale <= precision,
        Type::DateTime64 { precision, .. } => *precision <= 9,
        Type::Enum(names) => names.iter().all(|name| !name.is_empty()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_written_as_in_clickhouse() {
        for text in [
            "Bool",
            "UInt8",
            "Int256",
            "Float64",
            "Decimal(38, 8)",
            "String",
            "FixedString(3)",
            "Date",
            "Date32",
            "DateTime",
            "DateTime('UTC')",
            "DateTime64(3, 'Europe/Malta')",
            "DateTime64(6)",
            "UUID",
            "IPv4",
            "IPv6",
            "LowCardinality(Nullable(String))",
            "Array(Tuple(base String, quote String, UInt8))",
            "Map(String, Array(UInt64))",
            "AggregateFunction(argMax, Decimal(38, 8), DateTime64(3, 'UTC'))",
        ] {
            let kind = Type::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(kind.to_string().replace(' ', ""), text.replace(' ', ""));
        }
        assert_eq!(
            Type::parse("Enum8('a' = -1, 'it''s' = 2, 'b\\'c' = 3)"),
            Ok(Type::Enum(vec!["a".into(), "it's".into(), "b'c".into()]))
        );
        assert_eq!(Type::parse("SimpleAggregateFunction(sum, UInt64)"), Type::parse("UInt64"));
        assert_eq!(Type::parse("Decimal64(4)"), Type::parse("Decimal(18, 4)"));
    }

    #[test]
    fn a_malformed_type_is_an_error() {
        for text in [
            "",
            "(",
            "Array",
            "Array(",
            "Array()",
            "Array(String",
            "Array(String))",
            "String String",
            "Tuple()",
            "Decimal",
            "Decimal(0, 0)",
            "Decimal(10, 11)",
            "Decimal(77, 0)",
            "Decimal(a)",
            "DateTime64",
            "DateTime64(10, 'UTC')",
            "DateTime('')",
            "Enum8()",
            "Enum8(1)",
            "FixedString(0)",
            "'String'",
            "Nullable(",
            "1",
            "Array(Array(Array(Array(Array(Array(Array(Array(UInt8))))))))",
        ] {
            assert!(Type::parse(text).is_err(), "{text:?}: {:?}", Type::parse(text));
        }
    }

    #[test]
    fn some_types_are_not_for_parameters() {
        let refused = |text: &str| Type::parse(text).unwrap().check_parameter().unwrap_err();
        assert!(refused("DateTime").contains("write DateTime('UTC')"));
        assert!(refused("Array(Nullable(DateTime64(3)))").contains("write DateTime64(3, 'UTC')"));
        assert!(refused("Map(String, String)").contains("use Array(Tuple("));
        assert!(refused("Strin").contains("unknown type Strin; use one of Bool"));
        assert!(refused("INT").contains("unknown type INT"));
        assert!(Type::parse("Array(Tuple(a Enum8('x' = 1), b UUID))").unwrap().check_parameter().is_ok());
    }

    #[test]
    fn a_result_is_sent_in_types_that_every_format_has() {
        let sent = |text: &str| Type::parse(text).unwrap().sent_as();
        for same in ["UInt64", "Decimal(38, 8)", "Nullable(String)", "Array(Tuple(a UInt8, b Date))", "Bool"]
        {
            assert_eq!(sent(same), None, "{same}");
        }
        for (text, other) in [
            ("UInt128", "String"),
            ("Nullable(Int256)", "Nullable(String)"),
            ("LowCardinality(String)", "String"),
            ("Array(LowCardinality(Nullable(String)))", "Array(Nullable(String))"),
            ("Tuple(a Enum8('x' = 1), b UInt8)", "Tuple(`a` String, `b` UInt8)"),
            ("Map(String, UUID)", "Map(String, String)"),
        ] {
            assert_eq!(sent(text).as_deref(), Some(other), "{text}");
        }
    }
}
