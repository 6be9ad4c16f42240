//! The URL of a service. Its user and password are kept apart from it, so that printing it shows neither.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Secret;

/// What to write instead of a text that is not a URL.
const EXAMPLE: &str = "write http://HOST:PORT, for example http://127.0.0.1:8123";

/// An `http` or `https` URL. Printed, it has no user, no password, no query and no slash at its end.
#[derive(Clone, Debug)]
pub struct ServiceUrl {
    /// Without user and password.
    url: Url,
    user: Option<String>,
    password: Option<Secret>,
}

impl ServiceUrl {
    /// Parses the text of a URL.
    ///
    /// # Errors
    /// It is not an HTTP URL. The reason does not repeat the text, which may have a password in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("{}; {EXAMPLE}", what(error)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("it does not begin with http:// or https://; {EXAMPLE}"));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let password = url.password().map(|password| Secret::from(decoded(password)));
        // An HTTP URL has a host, and so can have neither.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err("it has no host".to_owned());
        }
        Ok(Self { url, user, password })
    }

    /// The URL without user and password.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The whole URL with user and password, for a service that connects by itself.
    pub fn with_credentials(&self) -> Secret {
        let mut url = self.url.clone();
        // Neither fails: the URL has a host.
        let _ = url.set_username(self.user.as_deref().unwrap_or_default());
        let _ = url.set_password(self.password.as_ref().map(Secret::expose));
        Secret::from(url.as_str().trim_end_matches('/').to_owned())
    }

    /// Takes the password out of a text of the service.
    pub fn masked(&self, text: &str) -> String {
        let whole = self.with_credentials();
        let Some(password) = self.password.as_ref().filter(|password| !password.expose().is_empty()) else {
            return text.to_owned();
        };
        // In a URL it is percent-encoded.
        let encoded = Url::parse(whole.expose()).ok().and_then(|url| url.password().map(str::to_owned));
        let text = encoded.map_or_else(|| text.to_owned(), |encoded| text.replace(&encoded, "***"));
        text.replace(password.expose(), "***")
    }
}

/// Says what is wrong with a URL, in other words than the parser.
fn what(error: url::ParseError) -> &'static str {
    match error {
        url::ParseError::RelativeUrlWithoutBase => "it does not begin with http:// or https://",
        url::ParseError::InvalidPort => "its port is not a number from 0 to 65535",
        url::ParseError::EmptyHost => "it has no host",
        _ => "its host is not a name or an address",
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        f.write_str(url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_apart_and_never_printed() {
        let url = ServiceUrl::parse("https://ann:s%40cret@registry:8081/base/?password=s%40cret").unwrap();
        assert_eq!(url.to_string(), "https://registry:8081/base");
        assert_eq!((url.user(), url.password().map(Secret::expose)), (Some("ann"), Some("s@cret")));
        assert!(!format!("{url:?}").contains("ann:"), "{url:?}");
        let masked = url.masked("cannot fetch https://ann:s%40cret@registry:8081 (s@cret)");
        assert_eq!(masked, "cannot fetch https://ann:***@registry:8081 (***)");
        let plain = ServiceUrl::parse("http://ann:secret@registry:8081").unwrap();
        assert!(!format!("{plain:?}").contains("secret"), "{plain:?}");
        assert_eq!(plain.with_credentials().expose(), "http://ann:secret@registry:8081");
    }

    #[test]
    fn a_text_that_is_not_an_http_url_is_refused_without_repeating_it() {
        for text in ["tcp://u:secret@x:9000", "http://u:secret@ho st/", "secret", "http://u:secret@x:99999"] {
            let reason = ServiceUrl::parse(text).unwrap_err();
            assert!(!reason.contains("secret") && reason.contains("http://127.0.0.1:8123"), "{reason}");
        }
    }
}
