//! Values that are never printed.

pub use roundhouse_part::secret::Secret;

/// Returns a text in which no URL has a user or password.
pub fn without_password(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://").map(|start| start + "://".len()) {
        let (before, url) = rest.split_at(start);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#')).unwrap_or(url.len());
        let (authority, after) = url.split_at(end);
        shown.push_str(before);
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend(["***@", host]),
            None => shown.push_str(authority),
        }
        rest = after;
    }
    shown + rest
}

/// A key that opens the API: 16 to 256 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct ApiKey(Secret);

impl ApiKey {
    /// The key itself, for the comparison with what a request carries.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl std::str::FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (16..=256).contains(&text.len()) {
            Ok(Self(Secret::from(text.to_owned())))
        } else {
            Err("a key must have 16 to 256 visible ASCII characters; `openssl rand -hex 32` makes one")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("http://user:pass@host:80/a?b", "http://***@host:80/a?b"),
            ("at http://user@host, and https://u:p@x@other/", "at http://***@host, and https://***@other/"),
            ("http://host/path@x is no URL", "http://host/path@x is no URL"),
            ("user@host has none", "user@host has none"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
