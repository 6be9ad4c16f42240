//! What does not change of a dataset while the server runs.

use std::sync::Arc;

use crate::dataset::Dataset;
use crate::endpoints::Prepared;

/// A dataset with its endpoints and checks.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) dataset: Dataset,
    pub(super) queries: Vec<Arc<Prepared>>,
}

impl Described {
    /// `endpoints`: those of all datasets.
    pub(super) fn new(dataset: &Dataset, endpoints: &[Arc<Prepared>]) -> Self {
        let own = endpoints.iter().filter(|endpoint| *endpoint.dataset == *dataset.name);
        Self { dataset: dataset.clone(), queries: own.cloned().collect() }
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Prepared> {
        self.queries.iter().map(|one| &**one).filter(|one| one.endpoint.check.is_none())
    }
}
