//! Reads the values of options as people write them. A value that cannot be used gives a reason that says what to write instead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use encoding_rs::Encoding;
use url::Url;
use uuid::Uuid;

/// Digits after the point of a size. More would name parts of a byte.
const MAX_FRACTION_DIGITS: usize = 9;

/// Units of a size, in lower case.
const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Returns a parser of whole numbers in a range.
pub fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number: u64| T::try_from(number).ok()).ok_or_else(|| not_in(&range))
    }
}

fn not_in(range: &RangeInclusive<u64>) -> String {
    match (*range.start(), *range.end()) {
        (0, u64::MAX) => "not a whole number".to_owned(),
        (least, u64::MAX) => format!("not a whole number of at least {least}"),
        (least, most) => format!("not a whole number from {least} to {most}"),
    }
}

/// Returns a parser of sizes in bytes: a whole number, or a number with a unit, such as 512MiB (1024² bytes) or 8GB (1000³ bytes).
pub fn size<T: TryFrom<u64>>(least: u64) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let bytes = bytes(text)?;
        if bytes < least {
            return Err(format!("too small; the minimum is {least} bytes"));
        }
        T::try_from(bytes).map_err(|_| "too large".to_owned())
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    if let ("k" | "m" | "g" | "t", false) = (unit.as_str(), number.is_empty()) {
        let unit = unit.to_ascii_uppercase();
        return Err(format!(
            "ambiguous; write {number}{unit}iB (powers of 1024) or {number}{unit}B (powers of 1000)"
        ));
    }
    let unit = if unit.is_empty() { "b" } else { &unit };
    let bytes_of_unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
    bytes_of_unit.and_then(|bytes| multiplied(number, bytes)).ok_or_else(|| {
        "not a size; write a number of bytes, or a number with a unit such as 512MiB or 8GB".to_owned()
    })
}

/// Multiplies a decimal number by a unit. Parts of a byte are dropped.
fn multiplied(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.parse::<u64>().ok().map(u128::from);
    if fraction.len() > MAX_FRACTION_DIGITS {
        return None;
    }
    let scale = 10_u128.pow(fraction.len() as u32);
    let scaled = digits(whole)?.checked_mul(scale)?.checked_add(digits(fraction)?)?;
    u64::try_from(scaled.checked_mul(unit.into())? / scale).ok()
}

/// Reads the address of a listener: an IP address and a port. `8000` and `localhost:8000` listen on 127.0.0.1.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let on_loopback = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    if let Some(port) = port_number(port) {
        return Ok(on_loopback(port));
    }
    if let Some(port) = text.strip_prefix(':').and_then(port_number) {
        return Err(format!(
            "no IP address; write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for all its networks"
        ));
    }
    match text.parse::<IpAddr>() {
        Ok(ip) => Err(format!("no port; write {}", SocketAddr::new(ip, 8000))),
        Err(_) => {
            Err("not an IP address and a port from 0 to 65535; write for example 127.0.0.1:8000".to_owned())
        }
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads the address of a running server: an HTTP URL, or HOST:PORT.
pub fn server_url(text: &str) -> Result<Url, String> {
    let has_scheme = text.contains("://");
    let url = if has_scheme { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    match url {
        // Without a scheme, a slash is more likely a mistake in it than a path.
        Ok(url) if matches!(url.scheme(), "http" | "https") && (has_scheme || !text.contains('/')) => Ok(url),
        _ => Err("not an http:// or https:// URL; write for example http://127.0.0.1:8000".to_owned()),
    }
}

/// Reads a time of the years from 1970 to 2105.
pub fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let time = time.ok().filter(|time| (1970..=2105).contains(&time.year()));
    time.ok_or_else(|| "not a time from 1970 to 2105; write for example 2026-11-28T08:00:00Z".to_owned())
}

/// Reads the id of an upload.
pub fn upload_id(text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|_| "not the id of an upload; `roundhouse uploads` lists them".to_owned())
}

/// Reads a label of the WHATWG Encoding Standard, which the server knows too.
pub fn encoding(text: &str) -> Result<String, String> {
    match Encoding::for_label_no_replacement(text.as_bytes()) {
        Some(_) => Ok(text.to_owned()),
        None => {
            Err("not a label of the WHATWG Encoding Standard; write for example utf-16le or windows-1252"
                .to_owned())
        }
    }
}

/// Reads a number of rows or a percentage, as the API takes it.
pub fn rows_or_percent(text: &str) -> Result<String, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let is_number = number.parse::<f64>().is_ok() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_number && (text.ends_with('%') || !number.contains('.')) {
        Ok(text.to_owned())
    } else {
        Err("not a number of rows or a percentage; write for example 100 or 5%".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_bytes_or_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("8589934592", 8 << 30),
            ("8GiB", 8 << 30),
            ("8GB", 8_000_000_000),
            ("8 gb", 8_000_000_000),
            ("512MiB", 512 << 20),
            ("512kib", 512 << 10),
            ("1.5KiB", 1536),
            ("0.1kB", 100),
            ("7B", 7),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(size::<u64>(0)(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "GB", "8XB", "-8GB", "1.2.3GB", ".", "1e3", "99999999999TB", "1.0000000001GB", "8GB/s"]
        {
            assert!(size::<u64>(0)(text).unwrap_err().contains("such as 512MiB"), "{text}");
        }
        assert!(size::<u64>(0)("8g").unwrap_err().contains("write 8GiB (powers of 1024) or 8GB"));
        assert_eq!(size::<u64>(100)("99B"), Err("too small; the minimum is 100 bytes".to_owned()));
        assert_eq!(size::<u8>(0)("1KiB"), Err("too large".to_owned()));
    }

    #[test]
    fn a_listener_has_an_address_or_a_port_of_this_machine() {
        for (text, address) in [
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:0", "[::1]:0"),
            ("8000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
        ] {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(address.to_owned()));
        }
        for (text, help) in [
            (":8000", "127.0.0.1:8000 for this machine only, or 0.0.0.0:8000"),
            ("127.0.0.1", "write 127.0.0.1:8000"),
            ("::1", "write [::1]:8000"),
            ("70000", "from 0 to 65535"),
            ("+8000", "from 0 to 65535"),
            ("example.org:80", "not an IP address"),
            ("", "127.0.0.1:8000"),
        ] {
            let reason = listen_address(text).unwrap_err();
            assert!(reason.contains(help), "{text}: {reason}");
        }
    }

    #[test]
    fn a_server_has_a_url_or_a_host_and_port() {
        for (text, url) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("localhost", "http://localhost/"),
            ("https://example.org/some", "https://example.org/some"),
        ] {
            assert_eq!(server_url(text).unwrap().as_str(), url);
        }
        for text in ["", "ftp://host", "http://", "http//host", "http:/host", "host:x", "host:99999", "a b"] {
            assert!(server_url(text).unwrap_err().contains("http://127.0.0.1:8000"), "{text}");
        }
    }

    #[test]
    fn a_number_names_its_range() {
        assert_eq!(whole::<u16>(1..=256)("256"), Ok(256));
        assert_eq!(whole::<u16>(1..=256)("257"), Err("not a whole number from 1 to 256".to_owned()));
        assert_eq!(whole::<u64>(0..=u64::MAX)("many"), Err("not a whole number".to_owned()));
        assert_eq!(whole::<u64>(1..=u64::MAX)("0"), Err("not a whole number of at least 1".to_owned()));
    }

    #[test]
    fn a_limit_of_rejected_rows_is_a_number_or_a_percentage() {
        for text in ["0", "100", "5%", "0.25%"] {
            assert_eq!(rows_or_percent(text).as_deref(), Ok(text));
        }
        for text in ["", "%", "5.5", "many", "-1", "inf", "1e3%"] {
            assert!(rows_or_percent(text).unwrap_err().contains("100 or 5%"), "{text}");
        }
    }
}
