//! What the messages of a topic contain, and the schemas that they were written with.

use std::collections::HashMap;

use super::chunks::{Content, Projection, Stored};
use super::run::TopicKind;
use crate::ingest::avro;
use crate::registry::{Registry, RegistryError};

impl Content {
    /// # Errors
    /// No column of the schema identifies a round.
    pub(super) fn of(kind: &TopicKind) -> Result<Self, RegistryError> {
        let TopicKind::Rounds(columns) = kind else { return Ok(Self::Rejects) };
        let stored =
            Stored::new(columns.clone()).map_err(|source| RegistryError::NotRows { id: 0, source })?;
        Ok(Self::Rounds { stored, projections: HashMap::new() })
    }

    /// Fetches the schema of a message, if it has one and it is new. An unusable schema is remembered with its error.
    ///
    /// # Errors
    /// The registry does not answer. The message must then wait; otherwise it would become a reject although it is valid.
    pub(super) async fn learn(
        &mut self,
        registry: &Registry,
        payload: Option<&[u8]>,
    ) -> Result<(), RegistryError> {
        let Self::Rounds { stored, projections } = self else { return Ok(()) };
        let Some(Ok(id)) = payload.map(avro::schema_id) else { return Ok(()) };
        if projections.contains_key(&id) {
            return Ok(());
        }
        let projection = match registry.columns(id).await {
            Ok(writer) => Projection::new(writer, &stored.columns),
            Err(error @ (RegistryError::UnknownId(_) | RegistryError::NotRows { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error),
        };
        projections.insert(id, projection);
        Ok(())
    }
}
