//! Answers in pages: how they are printed one after the other.

use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use url::Url;

use super::{Api, Failure};
use crate::commands::{CommandError, table};
use crate::settings::AnswerFormat;

/// Why a command ended early.
#[derive(Debug)]
pub enum Ended {
    Failed(Failure),
    Output(CommandError),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CommandError> for Ended {
    fn from(error: CommandError) -> Self {
        Self::Output(error)
    }
}

impl From<Ended> for CommandError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(failure) => failure.into(),
            Ended::Output(error) => error,
        }
    }
}

/// Prints one page of CSV or NDJSON unchanged. Only the first page keeps its header line.
pub async fn lines(
    api: &Api,
    url: &mut Url,
    format: AnswerFormat,
    is_first: bool,
) -> Result<(u64, Option<String>), Ended> {
    set(url, "format", format.parameter());
    let response = api.send(api.request(Method::GET, url.clone())).await?;
    let next = next_link(response.headers());
    let text = response.text().await.map_err(|error| api.failure(&error))?;
    let header = match format {
        AnswerFormat::Csv => text.find('\n').map_or(text.len(), |at| at + 1),
        _ => 0,
    };
    let rows = text.get(header..).unwrap_or_default();
    table::print(if is_first { &text } else { rows })?;
    // Lines cannot be counted: a quoted field may contain line ends.
    let count = match format {
        AnswerFormat::Csv => {
            csv::ReaderBuilder::new().has_headers(false).from_reader(rows.as_bytes()).byte_records().count()
        }
        _ => rows.lines().count(),
    };
    Ok((count as u64, next))
}

/// Returns the link to the next page from the header `Link` (RFC 8288).
pub fn next_link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next =
            parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| target.to_owned())
    })
}

/// Sets a parameter, and removes its earlier value.
pub fn set(url: &mut Url, name: &str, value: &str) {
    let kept: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(other, _)| other != name).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_link(&headers), None);
        headers.insert(LINK, "</a?x=1>; rel=\"prev\", </b?cursor=2>; rel=\"next\"".parse().unwrap());
        assert_eq!(next_link(&headers).as_deref(), Some("/b?cursor=2"));
    }

    #[test]
    fn a_parameter_has_one_value() {
        let mut url = Url::parse("http://a/b?limit=5&x=%26&limit=6").unwrap();
        set(&mut url, "limit", "7");
        assert_eq!(url.query(), Some("x=%26&limit=7"));
    }
}
