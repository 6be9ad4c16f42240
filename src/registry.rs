//! The Schema Registry behind its URL: registers the schema of the topic, and fetches writers' schemas by id.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_all_subjects, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use thiserror::Error;
use url::Url;

use crate::domain::columns::{Columns, ColumnsError};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The registry's code for an id that it does not know.
const SCHEMA_NOT_FOUND: u32 = 40403;

/// A client of one registry. Clones share the cache of fetched schemas.
#[derive(Clone, Debug)]
pub struct Registry {
    settings: SrSettings,
    by_id: Arc<Mutex<HashMap<u32, Arc<Columns>>>>,
}

/// Why the registry does not give what is asked of it.
#[derive(Debug, Error)]
pub enum RegistryError {
    #[error("the schema registry cannot be used: {0}")]
    Client(String),
    #[error("the schema registry does not answer: {0}")]
    Unavailable(String),
    #[error("the schema registry refuses the schema of {subject}: {reason}")]
    Refused { subject: String, reason: String },
    #[error("the schema registry knows no schema with id {0}")]
    UnknownId(u32),
    #[error("the schema with id {id} does not describe rows: {source}")]
    NotRows { id: u32, source: ColumnsError },
}

impl Registry {
    /// # Errors
    /// The URL cannot be used by an HTTP client.
    pub fn new(url: &Url) -> Result<Self, RegistryError> {
        let url = url.as_str().trim_end_matches('/').to_owned();
        let settings = SrSettings::new_builder(url)
            .set_timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| RegistryError::Client(describe(&error)))?;
        Ok(Self { settings, by_id: Arc::default() })
    }

    /// Registers a schema under a subject, and returns its id: the one it has, or a new one.
    ///
    /// # Errors
    /// The registry does not answer, or the schema is not compatible with the subject's earlier versions.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        match post_schema(&self.settings, subject.to_owned(), supplied).await {
            Ok(registered) => Ok(registered.id),
            Err(error) => Err(match error_code(&error) {
                Some(409 | 42200..=42299) => {
                    RegistryError::Refused { subject: subject.to_owned(), reason: describe(&error) }
                }
                _ => RegistryError::Unavailable(describe(&error)),
            }),
        }
    }

    /// Returns the columns of the schema with this id, fetched once.
    ///
    /// # Errors
    /// The registry does not answer, does not know the id, or the schema does not describe rows.
    pub async fn columns(&self, id: u32) -> Result<Arc<Columns>, RegistryError> {
        if let Some(columns) = self.cache().get(&id) {
            return Ok(columns.clone());
        }
        let registered =
            get_schema_by_id(id, &self.settings).await.map_err(|error| match error_code(&error) {
                Some(SCHEMA_NOT_FOUND) => RegistryError::UnknownId(id),
                _ => RegistryError::Unavailable(describe(&error)),
            })?;
        let columns =
            Columns::parse(&registered.schema).map_err(|source| RegistryError::NotRows { id, source })?;
        let columns = Arc::new(columns);
        self.cache().insert(id, columns.clone());
        Ok(columns)
    }

    /// Whether the registry answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let subjects = get_all_subjects(&self.settings).await;
        subjects.map(drop).map_err(|error| RegistryError::Unavailable(describe(&error)))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Columns>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registry's own code, where it answered at all: what is not an answer must not be taken for "no".
fn error_code(error: &SRCError) -> Option<u32> {
    let raw = error.source()?.downcast_ref::<RawError>()?;
    Some(raw.error_code)
}

fn describe(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}
