//! The REST API: routes, and handlers that each call one operation of the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower_http::normalize_path::NormalizePath;

use super::compatibility::Level;
use super::extract::{Body, Parameters, SchemaId};
use super::schema::AvroSchema;
use super::state::Visibility;
use super::store::{Registered, Store};
use super::subject::{Subject, VersionSelector};
use super::{RegistryError, layers};
use roundhouse_listener::guard::Guard;

type Registry = State<Arc<Store>>;
type Answer = Result<Json<Value>, RegistryError>;

/// Returns the registry's REST API.
pub(super) fn router(store: Arc<Store>, guard: Guard) -> Router {
    let routes = Router::new()
        .route("/", get(root))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_schema))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referenced_by))
        .route("/contexts", get(contexts))
        .route("/schemas/types", get(types))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/schema", get(schema_text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_by_id))
        .route("/config", get(global_level).put(set_global_level).delete(reset_global_level))
        .route("/config/{subject}", get(level).put(set_level).delete(reset_level))
        .route("/compatibility/subjects/{subject}/versions", post(check_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check_one))
        .route("/mode", get(mode))
        .route("/mode/{subject}", get(subject_mode))
        .fallback(|| async { RegistryError::NoSuchPath })
        .method_not_allowed_fallback(|| async { RegistryError::NoSuchMethod })
        .with_state(store);
    // The slash at the end of a path is removed before a route is chosen.
    layers::protect(Router::new().fallback_service(NormalizePath::trim_trailing_slash(routes)), guard)
}

/// A schema, as clients send it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaRequest {
    /// The id that a registration wants. Clients that want none leave it out, or send -1.
    id: Option<i64>,
    schema: Option<String>,
    schema_type: Option<String>,
    references: Option<Vec<Value>>,
    metadata: Option<Value>,
    rule_set: Option<Value>,
}

impl SchemaRequest {
    /// Parses the schema on a thread for blocking work.
    async fn parse(self) -> Result<AvroSchema, RegistryError> {
        let invalid = |reason: &str| Err(RegistryError::InvalidSchema(reason.to_owned()));
        if self.schema_type.is_some_and(|kind| kind != "AVRO") {
            return invalid("this registry supports only the schemaType AVRO");
        }
        if self.references.is_some_and(|references| !references.is_empty()) {
            return invalid(
                "this registry does not support schema references; put the referenced types into the schema",
            );
        }
        if self.metadata.is_some() || self.rule_set.is_some() {
            return invalid("this registry does not support data contracts; leave out metadata and ruleSet");
        }
        let Some(schema) = self.schema else { return invalid("the schema is empty") };
        blocking(move || AvroSchema::parse(&schema)).await
    }
}

type SchemaBody = Body<SchemaRequest>;

async fn root() -> Json<Value> {
    Json(json!({}))
}

async fn types() -> Json<Value> {
    Json(json!(["AVRO"]))
}

/// Only the default context exists.
async fn contexts() -> Json<Value> {
    Json(json!(["."]))
}

async fn subjects(State(store): Registry, parameters: Parameters) -> Answer {
    let subjects = store.state().subjects(parameters.subject_prefix(), parameters.visibility());
    Ok(Json(json!(parameters.page(subjects))))
}

async fn register(State(store): Registry, subject: Subject, Body(request): SchemaBody) -> Answer {
    let wanted = request.id.filter(|id| *id >= 0);
    let schema = request.parse().await?;
    let id = blocking(move || store.register(&subject, &schema, wanted)).await?;
    Ok(Json(json!({ "id": id })))
}

async fn look_up(
    State(store): Registry,
    subject: Subject,
    parameters: Parameters,
    Body(request): SchemaBody,
) -> Answer {
    let schema = request.parse().await?;
    let found = store.look_up(&subject, &schema, parameters.visibility())?;
    Ok(registered(&subject, &found))
}

async fn versions(State(store): Registry, subject: Subject, parameters: Parameters) -> Answer {
    let versions = store.state().versions_of(&subject, parameters.visibility())?;
    let numbers = versions.into_iter().map(|(number, _)| number);
    Ok(Json(json!(parameters.page(numbers))))
}

async fn version(
    State(store): Registry,
    subject: Subject,
    version: VersionSelector,
    parameters: Parameters,
) -> Answer {
    let found = store.version(&subject, version, parameters.visibility())?;
    Ok(registered(&subject, &found))
}

async fn version_schema(
    State(store): Registry,
    subject: Subject,
    version: VersionSelector,
    parameters: Parameters,
) -> Result<String, RegistryError> {
    Ok(store.version(&subject, version, parameters.visibility())?.schema.to_string())
}

/// Always empty, because references are not supported.
async fn referenced_by(State(store): Registry, subject: Subject, version: VersionSelector) -> Answer {
    store.version(&subject, version, Visibility::Live)?;
    Ok(Json(json!([])))
}

async fn delete_subject(State(store): Registry, subject: Subject, parameters: Parameters) -> Answer {
    let numbers = blocking(move || store.delete_subject(&subject, parameters.permanent)).await?;
    Ok(Json(json!(numbers)))
}

async fn delete_version(
    State(store): Registry,
    subject: Subject,
    version: VersionSelector,
    parameters: Parameters,
) -> Answer {
    let number = blocking(move || store.delete_version(&subject, version, parameters.permanent)).await?;
    Ok(Json(json!(number)))
}

async fn schema_by_id(State(store): Registry, SchemaId(id): SchemaId) -> Answer {
    Ok(Json(json!({ "schema": schema_in_use(&store, id)? })))
}

async fn schema_text_by_id(State(store): Registry, SchemaId(id): SchemaId) -> Result<String, RegistryError> {
    schema_in_use(&store, id)
}

async fn subjects_by_id(State(store): Registry, SchemaId(id): SchemaId, parameters: Parameters) -> Answer {
    schema_in_use(&store, id)?;
    let uses = store.state().uses(id, parameters.visibility());
    let subjects: BTreeSet<String> = uses.into_iter().map(|(subject, _)| subject).collect();
    Ok(Json(json!(parameters.page(subjects))))
}

async fn versions_by_id(State(store): Registry, SchemaId(id): SchemaId, parameters: Parameters) -> Answer {
    schema_in_use(&store, id)?;
    let uses = store.state().uses(id, parameters.visibility());
    let uses = uses.into_iter().map(|(subject, version)| json!({ "subject": subject, "version": version }));
    Ok(Json(json!(parameters.page(uses))))
}

async fn check_one(
    State(store): Registry,
    subject: Subject,
    version: VersionSelector,
    parameters: Parameters,
    Body(request): SchemaBody,
) -> Answer {
    check(store, subject, Some(version), &parameters, request).await
}

async fn check_all(
    State(store): Registry,
    subject: Subject,
    parameters: Parameters,
    Body(request): SchemaBody,
) -> Answer {
    check(store, subject, None, &parameters, request).await
}

async fn check(
    store: Arc<Store>,
    subject: Subject,
    against: Option<VersionSelector>,
    parameters: &Parameters,
    request: SchemaRequest,
) -> Answer {
    let schema = request.parse().await?;
    let conflicts = blocking(move || store.conflicts(&subject, against, &schema)).await?;
    Ok(Json(match parameters.verbose {
        true => json!({ "is_compatible": conflicts.is_empty(), "messages": conflicts }),
        false => json!({ "is_compatible": conflicts.is_empty() }),
    }))
}

async fn global_level(State(store): Registry) -> Json<Value> {
    current(store.state().global_level())
}

async fn level(State(store): Registry, subject: Subject, parameters: Parameters) -> Answer {
    let state = store.state();
    let level = match parameters.default_to_global {
        true => Some(state.level(&subject)),
        false => state.subject_level(&subject),
    };
    level.map(current).ok_or_else(|| RegistryError::CompatibilityNotConfigured(subject.to_string()))
}

async fn set_global_level(State(store): Registry, Body(request): Body<Map<String, Value>>) -> Answer {
    let level = requested_level(&request)?;
    blocking(move || store.set_level(None, level)).await?;
    Ok(Json(json!({ "compatibility": level })))
}

async fn set_level(
    State(store): Registry,
    subject: Subject,
    Body(request): Body<Map<String, Value>>,
) -> Answer {
    let level = requested_level(&request)?;
    blocking(move || store.set_level(Some(&subject), level)).await?;
    Ok(Json(json!({ "compatibility": level })))
}

async fn reset_global_level(State(store): Registry) -> Answer {
    blocking(move || store.reset_level(None)).await.map(current)
}

async fn reset_level(State(store): Registry, subject: Subject) -> Answer {
    blocking(move || store.reset_level(Some(&subject))).await.map(current)
}

async fn mode() -> Json<Value> {
    Json(json!({ "mode": "READWRITE" }))
}

async fn subject_mode(subject: Subject, parameters: Parameters) -> Answer {
    match parameters.default_to_global {
        true => Ok(mode().await),
        false => Err(RegistryError::ModeNotConfigured(subject.to_string())),
    }
}

/// Returns the text of a schema that a version uses, also if that version is soft-deleted.
fn schema_in_use(store: &Store, id: u32) -> Result<String, RegistryError> {
    let state = store.state();
    let text = state.schema(id).filter(|_| !state.uses(id, Visibility::LiveAndDeleted).is_empty());
    text.map(|text| text.to_string()).ok_or(RegistryError::SchemaIdNotFound(id))
}

fn registered(subject: &Subject, found: &Registered) -> Json<Value> {
    let Registered { version, id, schema } = found;
    Json(json!({ "subject": &**subject, "version": version, "id": id, "schema": &**schema }))
}

fn current(level: Level) -> Json<Value> {
    Json(json!({ "compatibilityLevel": level }))
}

/// Parses `{"compatibility": "FULL"}`. A setting that would have no effect is refused.
fn requested_level(request: &Map<String, Value>) -> Result<Level, RegistryError> {
    let other = request.iter().find(|(key, value)| *key != "compatibility" && !value.is_null());
    if let Some((key, _)) = other {
        return Err(RegistryError::UnsupportedSetting(key.chars().take(40).collect()));
    }
    let name = request.get("compatibility").and_then(Value::as_str);
    name.and_then(Level::from_name).ok_or(RegistryError::InvalidCompatibility)
}

/// Runs blocking work on its own thread. A panic there, such as the parser's on a hostile schema, ends only this request.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(RegistryError::Internal))
}
