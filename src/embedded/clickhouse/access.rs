//! Keeps web pages of others away from a database without a password.
//!
//! A page can make a browser send requests to this address: with a name of its own that points here (DNS rebinding),
//! which the Host header gives away, or across origins, which the Origin header does.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const EXPOSED: &str = "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,\
                       X-ClickHouse-Format,X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,\
                       X-ClickHouse-Exception-Tag";

const PREFLIGHT_SECONDS: &str = "86400";

/// Why a request is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Host,
    Origin,
}

impl Refusal {
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Host => "The Host header is not an address of this server\n",
            Self::Origin => "Pages of this origin may not query this server: see --clickhouse-cors-origins\n",
        }
    }
}

/// Who may ask.
#[derive(Debug)]
pub(super) struct Access {
    listen: IpAddr,
    origins: Vec<String>,
}

impl Access {
    pub(super) fn new(listen: SocketAddr, origins: &[String]) -> Self {
        let origins = origins.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase());
        Self { listen: listen.ip(), origins: origins.filter(|origin| !origin.is_empty()).collect() }
    }

    /// Lets a request in, with the origin that its answer is to name.
    ///
    /// # Errors
    /// It comes from a page of somebody else.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        authority: Option<&str>,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let host = match authority {
            Some(authority) => Some(authority),
            None => {
                headers.get(header::HOST).map(|host| host.to_str().map_err(|_| Refusal::Host)).transpose()?
            }
        };
        if host.is_some_and(|host| !self.is_ours(host)) {
            return Err(Refusal::Host);
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().map_err(|_| Refusal::Origin)?.to_ascii_lowercase();
        let same = host.is_some_and(|host| {
            text.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        });
        if same || self.origins.contains(&text) { Ok(Some(origin.clone())) } else { Err(Refusal::Origin) }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let Ok(address) = literal.parse::<IpAddr>() else {
            return false;
        };
        // Listening on all addresses: which are ours is not known, but an address is no name that can be rebound.
        address.is_loopback() || address == self.listen || self.listen.is_unspecified()
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The headers of an answer to an allowed origin.
pub(super) fn add_cors(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The further headers of the answer to a preflight.
pub(super) fn add_preflight(headers: &mut HeaderMap, request: &HeaderMap) {
    let fixed: [(HeaderName, &'static str); 2] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, host: &str, origin: Option<&str>) -> Result<bool, Refusal> {
        let access = Access::new(listen.parse().unwrap(), &["http://localhost:8088".to_owned()]);
        let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        access.check(&headers, None).map(|origin| origin.is_some())
    }

    #[test]
    fn only_our_own_names_and_addresses_are_hosts() {
        for host in ["127.0.0.1:8123", "localhost", "LOCALHOST:1", "[::1]:8123", "127.0.0.2", "[::1]"] {
            assert_eq!(check("127.0.0.1:8123", host, None), Ok(false), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8123",
            "127.0.0.1.evil.example",
            "192.168.1.5:8123",
            "",
            "localhost.",
        ] {
            assert_eq!(check("127.0.0.1:8123", host, None), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check("192.168.1.5:8123", "192.168.1.5:8123", None), Ok(false));
        assert_eq!(check("0.0.0.0:8123", "192.168.1.5:8123", None), Ok(false));
        assert_eq!(check("0.0.0.0:8123", "evil.example", None), Err(Refusal::Host));
    }

    #[test]
    fn only_the_named_origins_and_our_own_may_ask() {
        for origin in ["http://localhost:8088", "http://127.0.0.1:8123"] {
            assert_eq!(check("127.0.0.1:8123", "127.0.0.1:8123", Some(origin)), Ok(true), "{origin}");
        }
        for origin in ["http://evil.example", "null", "https://localhost:8088", "http://localhost:80880", "*"]
        {
            assert_eq!(
                check("127.0.0.1:8123", "127.0.0.1:8123", Some(origin)),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
    }
}
