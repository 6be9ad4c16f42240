//! Decides which requests are accepted: one guard for all HTTP listeners (API, embedded registry, embedded ClickHouse).
//!
//! A listener on loopback can be reached by every program on this machine. A web browser is such a program, and any web page can make it
//! send requests here:
//!
//! - *Under a name of the page.* The page's owner lets its name resolve to 127.0.0.1, and the browser treats the answers as the page's own
//!   (DNS rebinding). The `Host` header has that name. So the `Host` of every request must be a name of this server.
//! - *From the origin of the page.* The browser does not show the answer to the page, but it does send the request, as long as a form could
//!   send it too. `Origin`, `Sec-Fetch-Site` and `Referer` say where the page comes from ([`page`]). A page of another origin cannot
//!   change anything here, unless its request has a key: a page cannot know one, and browsers do not add it by themselves.
//!
//! Programs that are not browsers send none of these headers, and are accepted.

mod host;
mod page;

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use thiserror::Error;

pub use self::host::Host;
use self::page::{Origin, Page};

/// Why a request is refused. The listener adds what to do about [`Refusal::Page`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// HTTP/1.1 requires exactly one (RFC 9112, section 3.2).
    #[error("the request has no valid Host header, or more than one; send exactly one")]
    NoHost,
    #[error(
        "the Host header names another server ({0}); use localhost or the address of this server, or allow the name with --allowed-host"
    )]
    Host(Host),
    #[error("the request comes from a web page of another origin")]
    Page,
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Page => StatusCode::FORBIDDEN,
        }
    }
}

/// The sender of an accepted request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A program, a page of this server, or someone with a key.
    Trusted,
    /// A page of another origin. It may read. It sees the answer only if its origin is given here.
    Page(Option<HeaderValue>),
}

/// Which requests one listener accepts.
#[derive(Debug)]
pub struct Guard {
    listen: IpAddr,
    allowed_hosts: Vec<Host>,
    allowed_origins: Vec<Origin>,
    /// Whether pages of other origins may send requests that only read. They cannot see the answers.
    foreign_reads: bool,
}

impl Guard {
    /// Returns the guard of a listener on this address. `allowed_hosts`: further names of the server.
    pub fn new(listen: IpAddr, allowed_hosts: &[Host]) -> Self {
        Self {
            listen: listen.to_canonical(),
            allowed_hosts: allowed_hosts.to_vec(),
            allowed_origins: Vec::new(),
            foreign_reads: true,
        }
    }

    /// Allows only pages of these origins to read.
    pub fn reads_only_from(self, origins: &[String]) -> Self {
        let allowed_origins = origins.iter().filter_map(|origin| Origin::parse(origin)).collect();
        Self { allowed_origins, foreign_reads: false, ..self }
    }

    /// Decides about a request. `has_key`: the request has a key that this listener accepts.
    ///
    /// # Errors
    /// The request is for another server, or a page of another origin may not send it.
    pub fn check<B>(&self, request: &Request<B>, has_key: bool) -> Result<Sender, Refusal> {
        let headers = request.headers();
        let host = host_of(headers, request.uri().authority(), request.version())?;
        if let Some(host) = host.as_ref().filter(|host| !self.is_ours(host)) {
            return Err(Refusal::Host(host.clone()));
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let page = Page::of(headers, |origin| {
            if self.allowed_origins.contains(origin) {
                Page::Allowed
            } else if origin.is_ours(host.as_ref(), &self.allowed_hosts) {
                Page::Ours
            } else {
                Page::Foreign
            }
        });
        match page {
            Page::Allowed => Ok(Sender::Page(headers.get(header::ORIGIN).cloned())),
            _ if has_key => Ok(Sender::Trusted),
            Page::None | Page::Ours => Ok(Sender::Trusted),
            Page::Foreign if reads && self.foreign_reads => Ok(Sender::Page(None)),
            Page::Unknown if reads => Ok(Sender::Page(None)),
            Page::Foreign | Page::Unknown => Err(Refusal::Page),
        }
    }

    /// Whether a `Host` header means this listener: loopback, its own address, or an allowed name.
    ///
    /// No page can make `localhost`, or a name below it, resolve to another address (RFC 6761, section 6.3), and none can rebind an address.
    /// A listener on all addresses accepts every address, because it does not know its own.
    fn is_ours(&self, host: &Host) -> bool {
        let by_itself = match host.address() {
            Some(address) => address.is_loopback() || address == self.listen || self.listen.is_unspecified(),
            None => host.is_localhost(),
        };
        by_itself || self.allowed_hosts.iter().any(|allowed| allowed.allows(host))
    }
}

/// Returns the host that a request is meant for.
///
/// A missing `Host` is accepted with HTTP/1.0 only, which health checks of load balancers use. Browsers always send one.
fn host_of(
    headers: &HeaderMap,
    authority: Option<&Authority>,
    version: Version,
) -> Result<Option<Host>, Refusal> {
    let mut named = headers.get_all(header::HOST).iter();
    let parse = |text: &str| Host::parse(text).ok_or(Refusal::NoHost);
    let header = match (named.next(), named.next()) {
        (None, _) => None,
        (Some(host), None) => Some(parse(host.to_str().map_err(|_| Refusal::NoHost)?)?),
        (Some(_), Some(_)) => return Err(Refusal::NoHost),
    };
    // A request to a proxy has the host in its first line, which takes precedence (RFC 9112, section 3.2.2).
    match authority {
        Some(authority) => parse(authority.as_str()).map(Some),
        None if header.is_none() && version > Version::HTTP_10 => Err(Refusal::NoHost),
        None => Ok(header),
    }
}

/// Parses an origin for `--clickhouse-cors-origins`, whose pages may read. Empty for none.
///
/// # Errors
/// The text is not an origin. The error says what an origin looks like.
pub fn cors_origin(text: &str) -> Result<String, &'static str> {
    let text = text.trim().trim_end_matches('/');
    match text.is_empty() || Origin::parse(text).is_some() {
        true => Ok(text.to_owned()),
        false => Err("not an origin; write for example http://localhost:8088, without a path"),
    }
}

#[cfg(test)]
mod tests;
