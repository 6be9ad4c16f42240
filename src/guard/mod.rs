//! Who may send requests: the one guard of all HTTP listeners (API, embedded registry, embedded ClickHouse).
//!
//! A listener on loopback is open to every program on this machine. A web browser is such a program, and any web page can make it
//! send requests here:
//!
//! - *Under a name of the page.* Its owner lets the name resolve to 127.0.0.1, and the browser takes the answers for the page's own
//!   (DNS rebinding). The `Host` header has that name. So it must be one of ours, in every request.
//! - *From the origin of the page.* The browser does not show the answer to the page, but it does send the request, as long as a
//!   form could send it too. `Origin`, `Sec-Fetch-Site` and `Referer` say where the page is from ([`page`]). A page of another
//!   origin changes nothing here, unless its request carries a key: a page cannot know one, and browsers attach none by themselves.
//!
//! Programs that are not browsers send none of these headers, and are let in.

mod host;
mod page;

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use thiserror::Error;

pub use self::host::Host;
use self::page::{Origin, Page};

/// Why a request is turned away. The listener adds what to do about [`Refusal::Page`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// HTTP/1.1 demands exactly one (RFC 9112, section 3.2).
    #[error("the request has no valid Host header, or several; send one")]
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

/// Who sent a request that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A program, a page of this server, or someone with a key.
    Trusted,
    /// A page of another origin: it may read, and see the answer if its origin is named here.
    Page(Option<HeaderValue>),
}

/// What one listener lets in.
#[derive(Debug)]
pub struct Guard {
    listen: IpAddr,
    allowed_hosts: Vec<Host>,
    allowed_origins: Vec<Origin>,
    /// Whether pages of other origins may send requests that only read. They do not see the answers.
    foreign_reads: bool,
}

impl Guard {
    /// Returns the guard of a listener on this address, which `allowed_hosts` name too.
    pub fn new(listen: IpAddr, allowed_hosts: &[Host]) -> Self {
        Self {
            listen: listen.to_canonical(),
            allowed_hosts: allowed_hosts.to_vec(),
            allowed_origins: Vec::new(),
            foreign_reads: true,
        }
    }

    /// Lets pages of these origins read, and those of no other.
    pub fn reads_only_from(self, origins: &[String]) -> Self {
        let allowed_origins = origins.iter().filter_map(|origin| Origin::parse(origin)).collect();
        Self { allowed_origins, foreign_reads: false, ..self }
    }

    /// Decides about a request. `has_key`: it carries a key that this listener accepts.
    ///
    /// # Errors
    /// The request is not for this server, or a page of another origin may not send it.
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

    /// Says whether a `Host` header means this listener: by loopback, its own address, or a name that was allowed.
    ///
    /// No page can point `localhost` and the names below it elsewhere (RFC 6761, section 6.3), and none can rebind an address. Which
    /// addresses are ours is not known where the listener takes them all.
    fn is_ours(&self, host: &Host) -> bool {
        let by_itself = match host.address() {
            Some(address) => address.is_loopback() || address == self.listen || self.listen.is_unspecified(),
            None => host.is_localhost(),
        };
        by_itself || self.allowed_hosts.iter().any(|allowed| allowed.allows(host))
    }
}

/// Returns the host for which a request is meant.
///
/// None at all is taken from HTTP/1.0 only, as health checks of load balancers send it: no browser does, each names its host.
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
    // A request to a proxy has it in its first line, and that counts (RFC 9112, section 3.2.2).
    match authority {
        Some(authority) => parse(authority.as_str()).map(Some),
        None if header.is_none() && version > Version::HTTP_10 => Err(Refusal::NoHost),
        None => Ok(header),
    }
}

/// Reads an origin whose pages may read, as `--clickhouse-cors-origins` has it. Empty: none.
///
/// # Errors
/// It is no origin: what one is.
pub fn cors_origin(text: &str) -> Result<String, &'static str> {
    let text = text.trim().trim_end_matches('/');
    match text.is_empty() || Origin::parse(text).is_some() {
        true => Ok(text.to_owned()),
        false => Err("an origin is http://HOST or https://HOST, perhaps with :PORT, and has no path"),
    }
}

#[cfg(test)]
mod tests;
