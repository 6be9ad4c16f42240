//! Which `Host` headers an embedded HTTP service answers to.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// Says whether a request with this `Host` header was meant for a service on this machine.
///
/// A web page can make a browser send requests here under a name of its own that it lets resolve to 127.0.0.1
/// (DNS rebinding). It cannot do so under an address, nor under `localhost`.
pub fn is_ours(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn addresses_and_localhost_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1",
            "127.0.0.1:8081",
            "[::1]:8081",
            "[::1]",
            "10.0.0.7:80",
        ] {
            assert!(is_ours(host), "{host}");
        }
    }

    #[test]
    fn names_that_anyone_can_point_here_are_not() {
        for host in
            ["", "evil.example", "localhost.evil.example:8081", "127.0.0.1.evil.example", "a b", "[::1"]
        {
            assert!(!is_ours(host), "{host}");
        }
    }
}
