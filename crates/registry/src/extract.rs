//! Turns HTTP requests into typed values. Invalid requests are refused in the registry's own error format.

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::RegistryError;
use super::state::Visibility;
use super::subject::{Subject, VersionSelector};
use roundhouse_listener::content::media_type;

/// Accepted media types of bodies. Others are refused; some of them a web page could send without permission.
const JSON_TYPES: [&str; 3] =
    ["application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"];

/// The query parameters of all requests. Each handler uses those that apply.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Parameters {
    #[serde(deserialize_with = "flag")]
    deleted: bool,
    #[serde(deserialize_with = "flag")]
    deleted_only: bool,
    #[serde(deserialize_with = "flag")]
    pub(super) permanent: bool,
    #[serde(deserialize_with = "flag")]
    pub(super) verbose: bool,
    #[serde(deserialize_with = "flag")]
    pub(super) default_to_global: bool,
    subject_prefix: String,
    #[serde(deserialize_with = "count")]
    offset: usize,
    /// None means no limit.
    #[serde(deserialize_with = "limit")]
    limit: Option<usize>,
}

impl Parameters {
    /// Returns which versions the request asks for.
    pub(super) fn visibility(&self) -> Visibility {
        match (self.deleted_only, self.deleted) {
            (true, _) => Visibility::Deleted,
            (false, true) => Visibility::LiveAndDeleted,
            (false, false) => Visibility::Live,
        }
    }

    /// Returns how the names of the requested subjects begin. All are in the default context, which is a part of "all contexts" (`:*:`).
    pub(super) fn subject_prefix(&self) -> &str {
        let prefix = self.subject_prefix.as_str();
        prefix.strip_prefix(":*:").or_else(|| prefix.strip_prefix(":.:")).unwrap_or(prefix)
    }

    /// Returns the part of a list that the request asks for.
    pub(super) fn page<T>(&self, list: impl IntoIterator<Item = T>) -> Vec<T> {
        list.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}

/// Parses `true` and `false` in any case, because Python clients send `True`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(serde::de::Error::custom("a flag must be true or false")),
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("offset must be a number, 0 or greater"))
}

/// Parses a limit. Confluent's clients send -1 for no limit.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "-1" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            serde::de::Error::custom("limit must be a number, 0 or greater, or -1 for no limit")
        }),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = RegistryError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RegistryError> {
        let Query(parameters) = Query::from_request_parts(parts, state).await?;
        Ok(parameters)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Subject {
    type Rejection = RegistryError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RegistryError> {
        Self::parse(&path_parameter(parts, state, "subject").await?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for VersionSelector {
    type Rejection = RegistryError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RegistryError> {
        Self::parse(&path_parameter(parts, state, "version").await?)
    }
}

/// The schema id in a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct SchemaId(pub(super) u32);

impl<S: Send + Sync> FromRequestParts<S> for SchemaId {
    type Rejection = RegistryError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RegistryError> {
        // As in Confluent's registry, an id that is not a number is an unknown path.
        let id = path_parameter(parts, state, "id").await?;
        id.parse().map(Self).map_err(|_| RegistryError::NoSuchPath)
    }
}

async fn path_parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, RegistryError> {
    let parameters = RawPathParams::from_request_parts(parts, state).await?;
    let found = parameters.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).ok_or(RegistryError::NoSuchPath)
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + 'static> FromRequest<S> for Body<T> {
    type Rejection = RegistryError;

    async fn from_request(request: Request, _: &S) -> Result<Self, RegistryError> {
        if !JSON_TYPES.contains(&media_type(request.headers()).as_str()) {
            return Err(RegistryError::UnsupportedMediaType);
        }
        let body: Bytes = request.extract().await?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| RegistryError::BadRequest(format!("cannot read the body: {error}")))
    }
}
