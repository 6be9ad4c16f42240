//! What a loader needs.

use super::content::TopicKind;
use super::gate::Gate;
use super::lease::Candidate;
use crate::ingest::upload::under_way::UnderWay;
use crate::kafka::Kafka;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::warehouse::client::Warehouse;

/// What a loader needs.
#[derive(Clone, Debug)]
pub struct Loader {
    pub kafka: Kafka,
    pub registry: Registry,
    pub warehouse: Warehouse,
    pub topic: String,
    pub kind: TopicKind,
    pub uploads: UnderWay,
    pub gate: Gate,
    pub candidate: Candidate,
    pub metrics: Metrics,
}
