//! Finds out which web page made a browser send a request.
//!
//! Browsers send these headers:
//!
//! - `Sec-Fetch-Site` (W3C, Fetch Metadata): in every request of Chromium since 76, Firefox since 90 and Safari since 16.4, but only to
//!   https and loopback. No page can set or remove it. `none` means that a person typed the address.
//! - `Origin` (Fetch Standard, section 3.2): in every request to another origin that is not GET or HEAD, and in those whose answer the
//!   page wants to see. `null` stands for an origin that is not disclosed, such as that of a file or of a page that hides it.
//! - `Referer`: from most pages, unless they switch it off. Browsers that are too old for the two above send it with forms.
//!
//! A form without any of the three comes from a very old browser whose page hides the `Referer`, or not from a browser: `curl -F`,
//! Postman, python-requests. Two headers that every browser sends and no page can remove show which: `User-Agent`, which begins with
//! `Mozilla/` in all of them (HTML Standard, navigator.appCodeName and userAgent), together with `Accept-Language`. Each alone is not
//! enough: PowerShell's Invoke-WebRequest sends `Mozilla/5.0 (Windows NT…` without `Accept-Language`, and the fetch of Node and Deno
//! sends `Accept-Language: *` with another `User-Agent`.

use http::{HeaderMap, HeaderName, header};

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
    /// A browser sent it, but did not say from which page.
    Unknown,
}

impl Page {
    /// Determines it from the headers. `of_origin` classifies an origin.
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
            // A page of an allowed origin sends `Origin` if it wants to see the answer.
            Some(Some(page)) if judge(page) == Self::Ours => Self::Ours,
            Some(_) => Self::Foreign,
            None if is_browser(headers) => Self::Unknown,
            None => Self::None,
        }
    }
}

/// Returns the text of a header. `Some(None)` if it is not text, or is sent more than once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

/// Whether a browser sent the request, judged by headers that no page can remove (see above).
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
    /// Parses an `Origin` header, or the start of a URL.
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

    /// Whether its pages belong to this listener. `host`: the host in the request.
    ///
    /// The listeners speak plain HTTP. So an https origin belongs to a proxy, and is accepted only if its name was allowed. Its port must be
    /// the allowed one or, if none was given, that of `host` or the default port of https.
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
