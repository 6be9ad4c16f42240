//! What the messages of a topic contain, and the schemas that they were written with.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::Message;

use crate::dataset::Dataset;
use crate::domain::columns::{Column, Columns, Source};
use crate::domain::value::Value;
use crate::registry::{Registry, RegistryError};
use crate::wire::avro;

/// What kind of messages a topic has.
#[derive(Clone, Debug)]
pub enum TopicKind {
    /// Rows of a dataset.
    Rows(Arc<Dataset>),
    Rejects,
}

/// What the messages of a topic contain.
#[derive(Debug)]
pub enum Content {
    /// Rows in Avro. For each schema id, how to read it, or why it cannot be read.
    Rows { stored: Stored, projections: BTreeMap<u32, Result<Projection, String>> },
    /// Rejected lines. The headers say what is wrong with them.
    Rejects,
}

/// The dataset whose rows are stored, and the positions of columns with a special meaning.
#[derive(Clone, Debug)]
pub struct Stored {
    pub dataset: Arc<Dataset>,
    /// The columns that identify a row. None: each message counts.
    pub(super) key: Option<KeyColumns>,
    pub(super) upload_id: Option<usize>,
    pub(super) line: Option<usize>,
}

/// Indexes of the columns of a key.
#[derive(Clone, Debug)]
pub(super) struct KeyColumns {
    /// The columns before the last one.
    pub(super) prefix: Vec<usize>,
    pub(super) last: usize,
}

/// Maps the columns of the schema that the messages were written with to the stored columns.
#[derive(Clone, Debug)]
pub struct Projection {
    writer: Arc<Columns>,
    /// For each stored column, the position of the writer's column. None if the writer's schema lacks it; it is nullable then.
    sources: Vec<Option<usize>>,
}

impl Content {
    /// Returns what the messages of a topic contain. Their schemas are not known yet.
    pub fn of(kind: &TopicKind) -> Self {
        match kind {
            TopicKind::Rows(dataset) => {
                Self::Rows { stored: Stored::new(dataset.clone()), projections: BTreeMap::new() }
            }
            TopicKind::Rejects => Self::Rejects,
        }
    }

    /// Returns what is stored of a row; none for rejects.
    pub(super) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Rows { stored, .. } => Some(stored),
            Self::Rejects => None,
        }
    }

    /// Fetches the schema of a message, if it has one that is new.
    ///
    /// # Errors
    /// See [`Content::learn`].
    pub(super) async fn learn_of(
        &mut self,
        registry: &Registry,
        message: &impl Message,
    ) -> Result<(), RegistryError> {
        match self.unknown_schema(message.payload()) {
            Some(id) => self.learn(registry, id).await,
            None => Ok(()),
        }
    }

    /// Returns the schema id of a message, if it has one that is new: see [`Content::learn`].
    #[inline]
    pub fn unknown_schema(&self, payload: Option<&[u8]>) -> Option<u32> {
        let Self::Rows { projections, .. } = self else { return None };
        payload.and_then(|payload| avro::schema_id(payload).ok()).filter(|id| !projections.contains_key(id))
    }

    /// Fetches a schema. An unusable schema is remembered with its error.
    ///
    /// # Errors
    /// The registry does not answer. The message must then wait; otherwise it would become a reject although it is valid.
    pub async fn learn(&mut self, registry: &Registry, id: u32) -> Result<(), RegistryError> {
        let Self::Rows { stored, projections } = self else { return Ok(()) };
        let projection = match registry.columns(id).await {
            Ok(writer) => Projection::new(writer, stored.columns()),
            Err(error @ (RegistryError::UnknownId(_) | RegistryError::NotRows { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error),
        };
        projections.insert(id, projection);
        Ok(())
    }

    /// Reads the row in a message.
    ///
    /// # Errors
    /// The message is not a row. The text says why.
    pub fn read<'m>(&self, payload: Option<&'m [u8]>, row: &mut RowValues) -> Result<&'m [u8], String> {
        let Self::Rows { stored, projections } = self else {
            return Err("the topic has no rows".to_owned());
        };
        let payload = row.read(payload, projections)?;
        row.check(stored.columns())?;
        Ok(payload)
    }
}

/// The values of one message. Reused, to avoid allocations.
#[derive(Debug, Default)]
pub struct RowValues {
    /// In the order of the writer's columns.
    decoded: Vec<Value>,
    /// In the order of the stored columns. Text values are ranges of the message.
    pub values: Vec<Value>,
}

impl RowValues {
    /// Decodes a message into the stored columns, and returns its bytes. Otherwise returns why it cannot be decoded.
    pub(super) fn read<'m>(
        &mut self,
        payload: Option<&'m [u8]>,
        projections: &BTreeMap<u32, Result<Projection, String>>,
    ) -> Result<&'m [u8], String> {
        let payload = payload.ok_or("the message has no value")?;
        let schema_id = avro::schema_id(payload).map_err(|error| error.to_string())?;
        let projection = projections
            .get(&schema_id)
            .ok_or_else(|| format!("schema {schema_id} is unknown"))?
            .as_ref()
            .map_err(|reason| format!("schema {schema_id}: {reason}"))?;
        avro::decode(&projection.writer, payload, &mut self.decoded).map_err(|error| error.to_string())?;
        let value = |source: &Option<usize>| {
            source.and_then(|at| self.decoded.get(at)).copied().unwrap_or(Value::Null)
        };
        self.values.clear();
        self.values.extend(projection.sources.iter().map(value));
        Ok(payload)
    }

    /// Checks that a file could have had the values. Otherwise names the column whose value is out of range.
    pub(super) fn check(&self, columns: &Columns) -> Result<(), String> {
        match columns.iter().zip(&self.values).find(|(column, value)| !column.admits(**value)) {
            Some((column, _)) => Err(format!("{} is out of range", column.name)),
            None => Ok(()),
        }
    }
}

impl Stored {
    pub fn new(dataset: Arc<Dataset>) -> Self {
        let columns = &dataset.columns;
        let with = |source| columns.iter().position(|column| column.source == source);
        let key = columns.key().and_then(<[usize]>::split_last);
        let key = key.map(|(last, prefix)| KeyColumns { prefix: prefix.to_vec(), last: *last });
        let (upload_id, line) = (with(Source::UploadId), with(Source::Line));
        Self { dataset, key, upload_id, line }
    }

    /// Returns the columns of the key before the last one.
    pub(super) fn prefix(&self) -> impl Iterator<Item = &Column> {
        let prefix = self.key.as_ref().map_or(&[][..], |key| &key.prefix);
        prefix.iter().filter_map(|at| self.columns().get(*at))
    }

    pub fn columns(&self) -> &Columns {
        &self.dataset.columns
    }
}

impl Projection {
    /// Matches columns by name.
    ///
    /// # Errors
    /// A column has another type, or is missing and not nullable. The text names the column.
    pub fn new(writer: Arc<Columns>, stored: &Columns) -> Result<Self, String> {
        let sources = stored
            .iter()
            .map(|column| match writer.position(&column.name) {
                None if column.is_nullable() => Ok(None),
                None => Err(format!("column {} is missing in the writer's schema", column.name)),
                Some(at) => match writer.get(at) {
                    Some(found) if column.can_read(found) => Ok(Some(at)),
                    _ => Err(format!("column {} has another type in the writer's schema", column.name)),
                },
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { writer, sources })
    }
}
