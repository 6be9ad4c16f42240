//! What is never printed.

use std::fmt;

/// Text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
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
            Ok(Self(Secret(text.to_owned())))
        } else {
            Err("a key has 16 to 256 visible ASCII characters")
        }
    }
}
