//! Client of the Schema Registry: finds or registers the schema of the topic, and fetches the schemas of messages by id.
//!
//! Starting a server needs only read access, unless the schema is new: [`Registry::ensure`] looks the schema up and registers it only if it
//! is missing. So a read-only registry is enough once the schema is registered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use crate::connection::{cause, http_client, is_tls_failure, one_line};
use crate::domain::columns::{Columns, ColumnsError};
use crate::settings::{Secret, ServiceUrl};
use roundhouse_part::lock::lock;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of an answer in bytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The registry's error codes for an unknown subject, version and schema.
const SUBJECT_NOT_FOUND: u32 = 40401;
const VERSION_NOT_FOUND: u32 = 40402;
const SCHEMA_NOT_FOUND: u32 = 40403;

/// Its error code for a schema that it cannot parse.
const INVALID_SCHEMA: u32 = 42201;

/// Its error code for a subject in mode READONLY.
const OPERATION_NOT_PERMITTED: u32 = 42205;

/// A client of one registry. Clones share the cache of fetched schemas.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    url: ServiceUrl,
    by_id: Arc<Mutex<HashMap<u32, Arc<Columns>>>>,
}

/// Why a request to the registry failed.
#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("cannot create an HTTP client for the schema registry: {0}")]
    Client(String),
    #[error("the schema registry does not answer: {0}")]
    Unavailable(String),
    #[error("no TLS connection to the schema registry: {0}; check the URL's scheme and the certificate")]
    Tls(String),
    #[error("the schema registry denied access (HTTP {status}); check the user and password in its URL")]
    Denied { status: u16 },
    #[error("the answer is not from a schema registry ({reason}); check its URL")]
    NotARegistry { reason: String },
    #[error("the schema registry rejected the request ({reason}); check its URL and its log")]
    Rejected { reason: String },
    #[error(
        "the schema of {subject} is not registered, and the schema registry does not allow registering it ({reason}); \
                 register it there, or use a user that may register schemas"
    )]
    ReadOnly { subject: String, reason: String },
    #[error("the schema registry rejected the schema of {subject}: {reason}")]
    Refused { subject: String, reason: String },
    #[error("the schema registry has no schema with id {0}")]
    UnknownId(u32),
    #[error("the schema with id {id} does not describe rows: {source}")]
    NotRows { id: u32, source: ColumnsError },
}

impl RegistryError {
    /// Whether a retry is useless until someone has changed something.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// An error answer.
#[derive(Debug)]
struct Rejection {
    status: u16,
    /// The registry's own error code, or 0 if the answer is not in the format of a registry.
    code: u32,
    message: String,
}

impl Rejection {
    fn reason(&self) -> String {
        match self.message.is_empty() {
            true => format!("HTTP {}", self.status),
            false => format!("HTTP {}: {}", self.status, self.message),
        }
    }

    fn into_error(self) -> RegistryError {
        match (self.status, self.code) {
            (403, _) => RegistryError::Denied { status: self.status },
            // A registry answers 404 to an unknown path, for example under a wrong prefix.
            (_, 0 | 404) => RegistryError::NotARegistry { reason: self.reason() },
            _ => RegistryError::Rejected { reason: self.reason() },
        }
    }
}

/// The outcome of an answered request.
type Answer<T> = Result<T, Rejection>;

#[derive(Deserialize)]
struct ErrorBody {
    error_code: u32,
    message: String,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Version {
    id: u32,
    schema: String,
}

#[derive(Deserialize)]
struct ById {
    schema: String,
}

impl Registry {
    /// # Errors
    /// The HTTP client cannot be created.
    pub fn new(url: &ServiceUrl) -> Result<Self, RegistryError> {
        let client = http_client(|| Client::builder().no_proxy().timeout(REQUEST_TIMEOUT));
        let client = client.map_err(|error| RegistryError::Client(cause(&error)))?;
        Ok(Self { client, url: url.clone(), by_id: Arc::default() })
    }

    /// Returns the id of a schema under a subject. Registers the schema only if it is missing.
    ///
    /// # Errors
    /// The registry does not answer, or the schema is missing and rejected.
    pub async fn ensure(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        match self.find(subject, schema).await? {
            Some(id) => Ok(id),
            None => self.register(subject, schema).await,
        }
    }

    /// Returns the columns of the schema with this id, fetched once.
    ///
    /// # Errors
    /// The registry does not answer or does not know the id, or the schema does not describe rows.
    pub async fn columns(&self, id: u32) -> Result<Arc<Columns>, RegistryError> {
        if let Some(columns) = self.cache().get(&id) {
            return Ok(columns.clone());
        }
        // A deleted subject counts too: its messages still exist.
        let answer = self.get::<ById>(&format!("/schemas/ids/{id}?deleted=true")).await?;
        let found = answer.map_err(|rejection| match rejection.code {
            SCHEMA_NOT_FOUND => RegistryError::UnknownId(id),
            _ => rejection.into_error(),
        })?;
        let columns =
            Columns::of_writer(&found.schema).map_err(|source| RegistryError::NotRows { id, source })?;
        let columns = Arc::new(columns);
        self.cache().insert(id, columns.clone());
        Ok(columns)
    }

    /// Checks that the registry answers. An error answer, for example because this user may not list subjects, also counts.
    ///
    /// # Errors
    /// The registry does not answer.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        self.get::<Value>("/subjects").await.map(drop)
    }

    /// Looks a schema up. If that is refused, for example by a proxy that allows only GET, reads the subject's versions instead.
    async fn find(&self, subject: &str, schema: &str) -> Result<Option<u32>, RegistryError> {
        match self.post::<Registered>(&format!("/subjects/{subject}"), schema).await? {
            Ok(found) => Ok(Some(found.id)),
            Err(Rejection { code: SUBJECT_NOT_FOUND | VERSION_NOT_FOUND | SCHEMA_NOT_FOUND, .. }) => Ok(None),
            // Registering the schema then returns what is wrong with it.
            Err(Rejection { code: INVALID_SCHEMA, .. }) => Ok(None),
            Err(_) => self.find_in_versions(subject, schema).await,
        }
    }

    async fn find_in_versions(&self, subject: &str, schema: &str) -> Result<Option<u32>, RegistryError> {
        let wanted: Option<Value> = serde_json::from_str(schema).ok();
        let path = format!("/subjects/{subject}/versions");
        let versions = match self.get::<Vec<u32>>(&path).await? {
            Ok(versions) => versions,
            Err(Rejection { code: SUBJECT_NOT_FOUND, .. }) => return Ok(None),
            Err(rejection) => return Err(rejection.into_error()),
        };
        for version in versions.iter().rev() {
            let found = self.get::<Version>(&format!("{path}/{version}")).await?;
            let found = found.map_err(Rejection::into_error)?;
            if serde_json::from_str(&found.schema).ok() == wanted {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let path = format!("/subjects/{subject}/versions");
        let rejection = match self.post::<Registered>(&path, schema).await? {
            Ok(registered) => return Ok(registered.id),
            Err(rejection) => rejection,
        };
        let (subject, reason) = (subject.to_owned(), rejection.reason());
        Err(match (rejection.status, rejection.code) {
            (403 | 405 | 501, _) | (_, OPERATION_NOT_PERMITTED) => {
                RegistryError::ReadOnly { subject, reason }
            }
            (_, 0 | 404) => rejection.into_error(),
            _ => RegistryError::Refused { subject, reason: rejection.message },
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, RegistryError> {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, schema: &str) -> Result<Answer<T>, RegistryError> {
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        let request =
            self.client.post(format!("{}{path}", self.url)).header(header::CONTENT_TYPE, MEDIA_TYPE);
        self.send(request.body(body)).await
    }

    /// Sends a request. Temporary failures and failures of every request are errors; other rejections are left to the caller.
    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, RegistryError> {
        let request = request.header(header::ACCEPT, format!("{MEDIA_TYPE}, application/json"));
        let request = match self.url.user() {
            Some(user) => request.basic_auth(user, self.url.password().map(Secret::expose)),
            None => request,
        };
        let response = request.send().await.map_err(|error| transport(&error))?;
        let status = response.status();
        let body = read(response).await?;
        if status.is_success() {
            let answer = serde_json::from_slice(&body).map(Ok);
            return answer.map_err(|_| RegistryError::NotARegistry {
                reason: format!("{status}: {}", one_line(&String::from_utf8_lossy(&body))),
            });
        }
        let (code, message) = match serde_json::from_slice(&body) {
            Ok(ErrorBody { error_code, message }) => (error_code, message),
            Err(_) => (0, String::from_utf8_lossy(&body).into_owned()),
        };
        let rejection = Rejection { status: status.as_u16(), code, message: one_line(&message) };
        match status {
            StatusCode::UNAUTHORIZED => Err(RegistryError::Denied { status: status.as_u16() }),
            StatusCode::NOT_IMPLEMENTED => Ok(Err(rejection)),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(RegistryError::Unavailable(rejection.reason()))
            }
            _ if status.is_server_error() => Err(RegistryError::Unavailable(rejection.reason())),
            _ => Ok(Err(rejection)),
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Columns>>> {
        lock(&self.by_id)
    }
}

/// Reads an answer up to the maximum size.
async fn read(mut response: Response) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| transport(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            let reason = format!("more than {MAX_ANSWER_BYTES} bytes");
            return Err(RegistryError::NotARegistry { reason });
        }
    }
    Ok(body)
}

fn transport(error: &reqwest::Error) -> RegistryError {
    if is_tls_failure(error) {
        RegistryError::Tls(cause(error))
    } else {
        RegistryError::Unavailable(cause(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_that_does_not_answer_is_a_temporary_error_that_names_the_cause() {
        // The port was free a moment ago, so nothing listens there.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = ServiceUrl::parse(&format!("http://ann:secret@{address}")).unwrap();
        let error = Registry::new(&url).unwrap().ensure("t-value", "{}").await.unwrap_err();
        assert!(!error.is_permanent(), "{error}");
        let text = error.to_string();
        assert!(text.contains("Connection refused") && !text.contains("secret"), "{text}");
        let url = ServiceUrl::parse("http://registry.invalid:8081").unwrap();
        let error = Registry::new(&url).unwrap().ensure("t-value", "{}").await.unwrap_err();
        assert!(!error.is_permanent() && error.to_string().contains("lookup"), "{error}");
    }
}
