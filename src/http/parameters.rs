//! Query parameters. A handler takes each by its name; a parameter that no handler takes is an error.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// Bytes of a query string.
pub(super) const MAX_QUERY_BYTES: usize = 16_384;

/// Characters of a parameter's name, or of a path, that an error shows.
pub(super) const SHOWN_CHARACTERS: usize = 100;

/// The parameters of one request that no handler has taken yet.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes all values of a repeatable parameter.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a parameter that may be given once.
    ///
    /// # Errors
    /// It is given twice.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::parameter(name, "it may be given only once")),
        }
    }

    /// Takes a whole number between two bounds.
    ///
    /// # Errors
    /// The value is something else.
    pub fn number(
        &mut self,
        name: &str,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, Problem> {
        let Some(text) = self.one(name)? else { return Ok(default) };
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            Problem::must_be(name, format_args!("a whole number from {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Problem::must_be(name, "true or false")),
        }
    }

    /// Checks that every parameter was taken. `known`: the names of all that the handler takes, or `none`.
    ///
    /// # Errors
    /// A parameter was not taken.
    pub fn finish(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) if known == "none" => {
                Err(Problem::parameter(&shown(name), "this endpoint has no parameters; remove it"))
            }
            Some((name, _)) => {
                let detail = format!("it is not a parameter of this endpoint; use one of {known}");
                Err(Problem::parameter(&shown(name), detail))
            }
        }
    }
}

/// The error for a query that is too long. It names the longest parameter.
pub(super) fn query_too_long(query: &[u8]) -> Problem {
    let parameters = url::form_urlencoded::parse(query);
    let longest = parameters.max_by_key(|(name, value)| name.len() + value.len());
    let detail = format!(
        "the query is longer than {MAX_QUERY_BYTES} bytes, mostly because of this parameter; shorten it"
    );
    Problem::parameter(&shown(&longest.unwrap_or_default().0), detail)
}

/// A parameter's name as errors show it.
fn shown(name: &str) -> String {
    match name {
        "" => "without a name".to_owned(),
        name => name.chars().take(SHOWN_CHARACTERS).collect(),
    }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            return Err(query_too_long(query.as_bytes()));
        }
        let is_text = |pair: &&str| percent_decode_str(pair).decode_utf8().is_ok();
        if let Some(pair) = query.split('&').find(|pair| !is_text(pair)) {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(Problem::parameter(
                &shown(name),
                "it is not UTF-8 after percent-decoding; encode it as UTF-8",
            ));
        }
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}
