//! Authentication. The user `default` has no password. The server that the engine is embedded in has a user and a password of its
//! own, so that queries of others cannot take its connections ([`super::admission`]).

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use subtle::ConstantTimeEq;

use super::OWN_USER;
use super::admission::Asker;
use super::exception::{Code, Exception};
use roundhouse_part::secret::Secret;

const USER: &str = "default";

/// User and password, from headers or parameters.
#[derive(Default)]
pub(super) struct Credentials {
    user: Option<String>,
    password: Option<String>,
    /// They are in headers, so they must not be in parameters.
    in_headers: bool,
    in_parameters: bool,
}

impl Credentials {
    /// Reads `X-ClickHouse-User` and `X-ClickHouse-Key`, or basic authentication.
    ///
    /// # Errors
    /// The request has both, or uses another kind of authentication.
    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Self, Exception> {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let user = text("x-clickhouse-user");
        let password = text("x-clickhouse-key");
        let own = user.is_some() || password.is_some();
        match headers.get(header::AUTHORIZATION) {
            Some(_) if own => {
                Err(failed("it is not allowed to use both X-ClickHouse headers and Authorization"))
            }
            Some(value) => {
                let (user, password) =
                    basic(value.as_bytes()).ok_or_else(|| failed("only basic authorization is supported"))?;
                Ok(Self {
                    user: Some(user),
                    password: Some(password),
                    in_headers: true,
                    in_parameters: false,
                })
            }
            None => Ok(Self { user, password, in_headers: own, in_parameters: false }),
        }
    }

    pub(super) fn user_parameter(&mut self, user: String) {
        self.in_parameters = true;
        self.user.get_or_insert(user);
    }

    pub(super) fn password_parameter(&mut self, password: String) {
        self.in_parameters = true;
        self.password.get_or_insert(password);
    }

    /// Checks user and password; `own_key` is the password of the server.
    ///
    /// # Errors
    /// The user is unknown, or the password is wrong.
    pub(super) fn check(self, own_key: Option<&Secret>) -> Result<Asker, Exception> {
        if self.in_headers && self.in_parameters {
            return Err(failed("it is not allowed to use both headers and parameters for user and password"));
        }
        let user = self.user.filter(|user| !user.is_empty()).unwrap_or_else(|| USER.to_owned());
        let password = self.password.unwrap_or_default();
        if user == USER && password.is_empty() {
            return Ok(Asker::Other);
        }
        let is_own = |key: &Secret| key.expose().as_bytes().ct_eq(password.as_bytes()).into();
        if user == OWN_USER && own_key.is_some_and(is_own) {
            return Ok(Asker::Own);
        }
        let user: String = user.chars().filter(|character| !character.is_control()).take(64).collect();
        Err(Exception::new(
            Code::AuthenticationFailed,
            format_args!(
                "{user}: Authentication failed: password is incorrect, or there is no user with such name; the \
                 embedded ClickHouse has the user {USER} without a password"
            ),
        ))
    }
}

fn failed(reason: &str) -> Exception {
    Exception::new(Code::AuthenticationFailed, format_args!("Invalid authentication: {reason}"))
}

fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
