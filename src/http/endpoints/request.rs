//! Reads a request: the parameters of the endpoint, and those that every endpoint has.

use std::collections::BTreeMap;

use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value as Json};

use super::format::Wanted;
use crate::dataset::endpoint::Endpoint;
use crate::endpoints::arguments::Given;
use crate::http::parameters;
use crate::http::problem::Problem;
use crate::plot::{SIDES, Size, Theme};

/// Most bytes of a JSON object with parameters.
pub(super) const MAX_BODY: usize = 1 << 20;

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub controls: Controls,
    /// The values of the endpoint's parameters.
    pub given: BTreeMap<String, Given>,
    /// The parameters that are part of the path.
    pub in_path: Vec<String>,
    pub headers: HeaderMap,
    /// The path and the query string, if the next page can be requested in the same way.
    pub link: Option<(String, String)>,
}

/// The parameters that every endpoint has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Controls {
    pub format: Wanted,
    pub cursor: Option<String>,
    pub escape_formulas: bool,
    pub size: Size,
    pub theme: Theme,
}

impl Asked {
    /// # Errors
    /// A parameter is given twice, the body is not a JSON object, or a value of the server's own parameters is invalid.
    pub(super) async fn read(mut request: Request, endpoint: &Endpoint) -> Result<Self, Problem> {
        let path = request.extract_parts::<RawPathParams>().await;
        let path = path.map_err(|_| {
            Problem::parameter("path", "it is not UTF-8 after percent-decoding; encode it as UTF-8")
        })?;
        let mut given = Collected::default();
        for (name, value) in &path {
            given.text(name, value);
        }
        let in_path: Vec<String> = given.values.keys().cloned().collect();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_post = request.method() == Method::POST;
        for (name, value) in parameters::pairs(&query)? {
            if is_post {
                let detail = "the parameters of a POST are in its body, a JSON object; move it there";
                return Err(Problem::parameter(&parameters::shown(&name), detail));
            }
            if in_path.contains(&name) {
                return Err(Problem::parameter(&name, "it is part of the path; remove it from the query"));
            }
            given.text(&name, &value);
        }
        let headers = request.headers().clone();
        let link = (!is_post).then(|| (request.uri().path().to_owned(), query));
        if is_post {
            given.json(body(request).await?)?;
        }
        let controls = Controls::take(&mut given.values, &headers, endpoint)?;
        Ok(Self { controls, given: given.values, in_path, headers, link })
    }
}

/// The values of a request by name.
#[derive(Default)]
struct Collected {
    values: BTreeMap<String, Given>,
}

impl Collected {
    fn text(&mut self, name: &str, value: &str) {
        let texts = self.values.entry(name.to_owned()).or_insert_with(|| Given::Texts(Vec::new()));
        if let Given::Texts(texts) = texts {
            texts.push(value.to_owned());
        }
    }

    fn json(&mut self, object: Map<String, Json>) -> Result<(), Problem> {
        for (name, value) in object {
            if self.values.contains_key(&name) {
                return Err(Problem::parameter(&name, "it is part of the path; remove it from the body"));
            }
            self.values.insert(name, Given::Json(value));
        }
        Ok(())
    }
}

/// Reads the JSON object of a POST. Without a body, there are no values.
async fn body(request: Request) -> Result<Map<String, Json>, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|error| unread(&error))?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    if kind != "application/json" {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "json_required",
            "the body must be a JSON object; send it with Content-Type: application/json",
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!(
            "the body is not a JSON object with the parameters (line {}, column {}); correct it",
            error.line(),
            error.column()
        );
        Problem::new(StatusCode::BAD_REQUEST, "bad_json", detail)
    })
}

fn unread(error: &axum::Error) -> Problem {
    let is_too_large =
        std::error::Error::source(error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
    match is_too_large {
        true => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "json_too_large",
            format!("the body is larger than {MAX_BODY} bytes; send fewer values at once"),
        )
        .with("limit_bytes", MAX_BODY),
        false => Problem::new(
            StatusCode::BAD_REQUEST,
            "broken_off",
            "the body ended early; send the request again",
        ),
    }
}

impl Controls {
    fn take(
        given: &mut BTreeMap<String, Given>,
        headers: &HeaderMap,
        endpoint: &Endpoint,
    ) -> Result<Self, Problem> {
        let has_plot = endpoint.plot.is_some();
        let format = match single(given, "format", as_text)? {
            None => Wanted::accepted(headers, has_plot),
            Some(name) => Wanted::named(&name, has_plot).ok_or_else(|| {
                let names: Vec<&str> = Wanted::names(has_plot).collect();
                Problem::must_be("format", format_args!("one of {}", names.join(", ")))
            })?,
        };
        let escape_formulas = match single(given, "escape_formulas", as_flag)?.as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => return Err(Problem::must_be("escape_formulas", "true or false")),
        };
        let cursor = match endpoint.page {
            Some(_) => single(given, "cursor", as_text)?.filter(|cursor| !cursor.is_empty()),
            None => None,
        };
        let (mut size, mut theme) = (Size::default(), Theme::Light);
        if has_plot {
            size.width = side(given, "width", size.width)?;
            size.height = side(given, "height", size.height)?;
            theme = match single(given, "theme", as_text)?.as_deref() {
                None | Some("light") => Theme::Light,
                Some("dark") => Theme::Dark,
                Some(_) => return Err(Problem::must_be("theme", "light or dark")),
            };
        }
        Ok(Self { format, cursor, escape_formulas, size, theme })
    }
}

/// Takes the width or height of a figure.
fn side(given: &mut BTreeMap<String, Given>, name: &str, default: u32) -> Result<u32, Problem> {
    let Some(text) = single(given, name, as_number)? else { return Ok(default) };
    let side = text.parse().ok().filter(|side| SIDES.contains(side));
    side.ok_or_else(|| {
        Problem::must_be(name, format_args!("a whole number from {} to {}", SIDES.start(), SIDES.end()))
    })
}

/// Takes a parameter of the server. `read`: its value in JSON as in a query string.
fn single(
    given: &mut BTreeMap<String, Given>,
    name: &str,
    read: fn(&Json) -> Option<String>,
) -> Result<Option<String>, Problem> {
    match given.remove(name) {
        None => Ok(None),
        Some(Given::Texts(texts)) => match <[String; 1]>::try_from(texts) {
            Ok([text]) => Ok(Some(text)),
            Err(_) => Err(Problem::parameter(name, "it may be given only once")),
        },
        Some(Given::Json(value)) => read(&value)
            .map(Some)
            .ok_or_else(|| Problem::must_be(name, "a JSON value of its type; see /docs")),
    }
}

fn as_text(value: &Json) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn as_flag(value: &Json) -> Option<String> {
    value.as_bool().map(|flag| flag.to_string())
}

fn as_number(value: &Json) -> Option<String> {
    value.as_u64().map(|number| number.to_string())
}
