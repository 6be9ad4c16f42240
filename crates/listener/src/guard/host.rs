//! A host and port, as written in a `Host` header, an origin and `--allowed-host`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Maximum bytes of a DNS name.
const MAX_NAME: usize = 253;

/// A host with an optional port. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    Domain(String),
}

impl Host {
    /// Parses `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (Name::Address(address.to_canonical()), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at(end);
                (Name::parse(name)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        Some(Self { name, port })
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.name {
            Name::Address(address) => Some(address),
            Name::Domain(_) => None,
        }
    }

    /// Whether it is `localhost` or a name below it.
    pub(super) fn is_localhost(&self) -> bool {
        match &self.name {
            Name::Address(_) => false,
            Name::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    pub(super) fn has_name_of(&self, other: &Self) -> bool {
        self.name == other.name
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn without_port(self) -> Self {
        Self { port: None, ..self }
    }

    /// Whether this allowed host matches the one of a request. Without a port it matches every port.
    pub(super) fn allows(&self, host: &Self) -> bool {
        self.name == host.name && (self.port.is_none() || self.port == host.port)
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_legal);
        is_name.then(|| Self::Domain(text.to_ascii_lowercase()))
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let bare = text.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
        Self::parse(bare.as_deref().unwrap_or(text))
            .ok_or("not a host name or address; write for example example.org or example.org:8000, without scheme, path or wildcard")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Address(address) => write!(f, "{address}")?,
            Name::Domain(name) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}
