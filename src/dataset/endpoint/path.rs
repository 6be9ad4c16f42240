//! `-- path: /prices/ohlc`: further paths of an endpoint.

use std::collections::HashMap;

use super::parameter::Parameter;
use super::types::Type;
use super::{Endpoint, FileFault};

/// Names that no endpoint may have: the server serves something else at `/datasets/NAME/` and this name.
pub const RESERVED: [&str; 12] = [
    "aggregates",
    "checks",
    "conflicts",
    "endpoints",
    "events",
    "reconcile",
    "rejects",
    "repair",
    "rows",
    "schema",
    "sources",
    "uploads",
];

/// A part of a path between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    /// `{name}`: the value of this parameter.
    Parameter(String),
}

/// A further path of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub segments: Vec<Segment>,
    /// The line in the file.
    pub line: usize,
}

impl Alias {
    /// # Errors
    /// It is no path, or names a parameter that cannot be in one. The error says what to do.
    pub(super) fn parse(text: &str, parameters: &[Parameter], line: usize) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("the path {text:?} must begin with /"));
        };
        let segments: Vec<Segment> =
            rest.split('/').map(|part| segment(part, parameters)).collect::<Result<_, _>>()?;
        if !matches!(segments.first(), Some(Segment::Literal(_))) {
            return Err(format!("the path {text} must begin with a word, such as /steps/{{number}}"));
        }
        Ok(Self { segments, line })
    }

    /// Returns the path as routers and OpenAPI write it.
    pub fn path(&self) -> String {
        self.segments.iter().fold(String::new(), |path, segment| match segment {
            Segment::Literal(text) => path + "/" + text,
            Segment::Parameter(name) => path + "/{" + name + "}",
        })
    }

    /// Whether the parameter is part of the path.
    pub fn has(&self, parameter: &str) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Parameter(name) if name == parameter))
    }

    /// The path without the names of its parameters.
    fn shape(&self) -> String {
        self.segments.iter().fold(String::new(), |path, segment| match segment {
            Segment::Literal(text) => path + "/" + text,
            Segment::Parameter(_) => path + "/{}",
        })
    }
}

fn segment(text: &str, parameters: &[Parameter]) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let Some(parameter) = parameters.iter().find(|parameter| parameter.name == name) else {
            return Err(format!(
                "the path names {name}, which is no parameter; add a line -- param {name} …"
            ));
        };
        return match parameter.kind.bare().0 {
            Type::Array(_) | Type::Tuple(_) => {
                Err(format!("parameter {name} is a list and cannot be part of a path; remove it there"))
            }
            _ => Ok(Segment::Parameter(name.to_owned())),
        };
    }
    let is_literal = !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    match is_literal {
        true => Ok(Segment::Literal(text.to_owned())),
        false => Err(format!(
            "a path has letters, digits, _, - and . between its slashes, or {{parameter}}; change {text:?}"
        )),
    }
}

/// Checks that no two endpoints have the same path, and that none has one of the server.
///
/// `used`: the first words of the server's own paths.
///
/// # Errors
/// Two have one, or the server serves something else there.
pub fn check_paths<'a>(
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
    used: &[&str],
) -> Result<(), FileFault> {
    let mut known: HashMap<String, &Endpoint> = HashMap::new();
    for endpoint in endpoints {
        for alias in &endpoint.aliases {
            let path = alias.path();
            let fault = |message: String| Err(FileFault::new(&endpoint.file, alias.line, message));
            if let Some(Segment::Literal(first)) = alias.segments.first()
                && used.contains(&first.as_str())
            {
                return fault(format!(
                    "the server has paths below /{first}; begin the path with another word"
                ));
            }
            if let Some(other) = known.insert(alias.shape(), endpoint) {
                return fault(format!("the path {path} is also that of {}; change one of them", other.file));
            }
        }
    }
    Ok(())
}
