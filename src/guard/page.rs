//! Which web page had a browser send a request.
//!
//! What browsers say of it:
//!
//! - `Sec-Fetch-Site` (W3C, Fetch Metadata): in every request of Chromium since 76, Firefox since 90 and Safari since 16.4, but only to
//!   https and loopback. No page can set or remove it. `none` is what a person typed.
//! - `Origin` (Fetch Standard, section 3.2): in every request of another origin that is not GET or HEAD, and in those of which the page
//!   wants to see the answer. `null` stands for an origin that is not told, as that of a file or of a page that hides it.
//! - `Referer`: from most pages, unless they switch it off. Browsers that are too old for the two above send it with forms.
//!
//! A form that comes with none of the three is either of a very old browser, from a page that hides the `Referer`, or of no browser:
//! `curl -F`, Postman, python-requests. They are told apart by two headers that every browser sends and no page can remove:
//! `User-Agent`, which begins with `Mozilla/` in all of them (HTML Standard, navigator.appCodeName and userAgent), together with
//! `Accept-Language`. Each alone is not enough: PowerShell's Invoke-WebRequest calls itself `Mozilla/5.0 (Windows NT…` without
//! `Accept-Language`, and the fetch of Node and Deno sends `Accept-Language: *` under another name.

use axum::http::{HeaderMap, HeaderName, header};

use super::host::Host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// No browser sent it.
    None,
    /// A page of this server, or a person.
    Ours,
    /// A page of an origin that was allowed.
    Allowed,
    /// A page of another origin.
    Foreign,
    /// A browser sent it, and does not say for which page.
    Unknown,
}

impl Page {
    /// Finds out from the headers; `of_origin` judges an origin.
    pub(super) fn of(headers: &HeaderMap, of_origin: impl Fn(&Origin) -> Self) -> Self {
        let judge = |text: &str| Origin::parse(text).map_or(Self::Foreign, |origin| of_origin(&origin));
        let origin = only(headers, &header::ORIGIN).map(|text| text.map_or(Self::Foreign, judge));
        if let Some(page @ (Self::Allowed | Self::Foreign)) = origin {
            return page;
        }
        match only(headers, &SEC_FETCH_SITE) {
            Some(Some("same-origin" | "none")) => return Self::Ours,
            Some(_) => return Self::Foreign,
            None if origin.is_some() => return Self::Ours,
            None => {}
        }
        match only(headers, &header::REFERER) {
            // An allowed page that wants to see the answer sends its Origin.
            Some(Some(page)) if judge(page) == Self::Ours => Self::Ours,
            Some(_) => Self::Foreign,
            None if is_browser(headers) => Self::Unknown,
            None => Self::None,
        }
    }
}

/// Returns the text of a header: `Some(None)` if it is no text, or there several times.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

/// Says whether a browser sent it, by what no page can take away (see above).
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(|agent| agent.as_bytes());
    agent.is_some_and(|agent| agent.starts_with(b"Mozilla/")) && headers.contains_key(header::ACCEPT_LANGUAGE)
}

/// The origin of a page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    is_tls: bool,
    host: Host,
    port: u16,
}

impl Origin {
    /// Reads an `Origin` header, or the beginning of a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host = Host::parse(rest.get(..end)?)?;
        let port = host.port().unwrap_or(Self::default_port(is_tls));
        Some(Self { is_tls, host: host.without_port(), port })
    }

    fn default_port(is_tls: bool) -> u16 {
        if is_tls { 443 } else { 80 }
    }

    /// Says whether its pages are those of the listener, which was asked as `host`.
    ///
    /// The listeners speak plain HTTP. An origin with TLS is therefore that of a proxy, and only ours if its name was allowed, with its
    /// port unless that is the scheme's own or the one of `host`.
    pub(super) fn is_ours(&self, host: Option<&Host>, allowed_hosts: &[Host]) -> bool {
        let asked = host
            .filter(|host| host.has_name_of(&self.host))
            .map(|host| host.port().unwrap_or(Self::default_port(self.is_tls)));
        let is_asked = asked == Some(self.port);
        let is_allowed = |allowed: &Host| match allowed.port() {
            Some(port) => port == self.port,
            None => is_asked || self.port == Self::default_port(self.is_tls),
        };
        !self.is_tls && is_asked
            || allowed_hosts.iter().any(|allowed| allowed.has_name_of(&self.host) && is_allowed(allowed))
    }
}
