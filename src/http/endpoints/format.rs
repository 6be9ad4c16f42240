//! The requested format: of rows, or a figure if the endpoint has a plot.

use axum::http::HeaderMap;
use roundhouse_listener::accept;

use crate::http::format::Format;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Rows(Format),
    Svg,
    Png,
}

/// The formats of figures, with their names and media types.
const FIGURES: [(&str, &str, Wanted); 2] =
    [("svg", "image/svg+xml", Wanted::Svg), ("png", "image/png", Wanted::Png)];

impl Wanted {
    /// The format with this value of `format`.
    pub(super) fn named(name: &str, has_plot: bool) -> Option<Self> {
        let figure =
            FIGURES.iter().find(|(known, ..)| has_plot && *known == name).map(|(.., format)| *format);
        figure.or_else(|| Format::named(name).map(Self::Rows))
    }

    /// The values of `format`.
    pub(super) fn names(has_plot: bool) -> impl Iterator<Item = &'static str> {
        Format::names()
            .into_iter()
            .chain(FIGURES.into_iter().filter(move |_| has_plot).map(|(name, ..)| name))
    }

    /// The format that the client prefers, else JSON.
    pub(super) fn accepted(headers: &HeaderMap, has_plot: bool) -> Self {
        let figure = |kind: &str| {
            let found = FIGURES.iter().find(|(_, known, _)| has_plot && *known == kind);
            found.map(|(.., format)| *format)
        };
        let find = |kind: &str| figure(kind).or_else(|| Format::of_media_type(kind).map(Self::Rows));
        accept::preferred(headers, find).unwrap_or(Self::Rows(Format::Json))
    }

    /// The media type of an answer.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Rows(format) => format.content_type(),
            figure => {
                let found = FIGURES.iter().find(|(.., format)| *format == figure);
                found.map_or("application/octet-stream", |(_, kind, _)| kind)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn a_figure_is_sent_if_there_is_a_plot_and_the_client_prefers_one() {
        for (accept, has_plot, format) in [
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", true, Wanted::Svg),
            ("image/png", true, Wanted::Png),
            ("image/png, */*;q=0.1", false, Wanted::Rows(Format::Json)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", true, Wanted::Rows(Format::Json)),
            ("", true, Wanted::Rows(Format::Json)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Wanted::accepted(&headers, has_plot), format, "{accept}");
        }
        assert_eq!(Wanted::named("svg", true), Some(Wanted::Svg));
        assert_eq!(Wanted::named("svg", false), None);
        assert_eq!(Wanted::names(true).count(), 7);
    }
}
