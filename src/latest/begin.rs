//! Where following the topic begins: at the offsets up to which ClickHouse has everything.

use std::collections::BTreeMap;

use super::LatestError;
use crate::kafka::{Kafka, Watermarks};
use crate::loader::{epochs, ledger, recovery};
use crate::registry::Registry;
use crate::warehouse::client::Warehouse;

/// The services.
#[derive(Clone, Debug)]
pub struct Clients {
    pub kafka: Kafka,
    pub registry: Registry,
    pub warehouse: Warehouse,
}

/// The topic as it is when reading begins.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) epoch: u32,
    /// The first offset to read of each partition. ClickHouse has all rows before it.
    pub(super) next: BTreeMap<u16, i64>,
    pub(super) marks: Watermarks,
}

/// Finds out where to begin. It follows the ledger of the loader, which may be another server: so all servers agree on the epoch.
pub(super) async fn begin(clients: &Clients, topic: &str) -> Result<Beginning, LatestError> {
    let Clients { kafka, warehouse, .. } = clients;
    let marks = kafka.watermarks(topic).await?;
    let known = ledger::topic(warehouse, topic).await?.ok_or(LatestError::NotLoaded)?;
    let chunks = ledger::last_chunks(warehouse, topic, known.epoch).await?;
    if !epochs::is_same(kafka, topic, &marks, known, &chunks).await? {
        return Err(LatestError::Recreated);
    }
    let mut next = recovery::next_offsets(&marks, &chunks);
    for (partition, offset) in &mut next {
        // Messages that were deleted before they were loaded are recorded as a gap.
        *offset = marks.get(partition).map_or(*offset, |(low, _)| *low.max(offset));
    }
    Ok(Beginning { epoch: known.epoch, next, marks })
}
