//! The endpoints and the checks of the selected datasets: read from their files, and checked against ClickHouse.

use std::sync::Arc;

use super::CommandError;
use crate::dataset::Dataset;
use crate::dataset::endpoint::Endpoint;
use crate::dataset::endpoint::path::check_paths;
use crate::dataset::fault::FileFault;
use crate::endpoints::{PrepareError, Prepared};
use crate::http::endpoints::FIRST_WORDS;
use crate::latest::values::LastValues;
use crate::warehouse::client::Warehouse;
use crate::warehouse::limited::QueryLimits;

/// Reads the endpoints and the checks of a dataset.
///
/// # Errors
/// A file has a mistake.
pub(super) fn read(dataset: &Dataset) -> Result<Vec<Endpoint>, CommandError> {
    parsed(dataset).collect::<Result<_, _>>().map_err(|fault| CommandError::usage(fault.to_string()))
}

/// Returns the mistakes in the files of endpoints and checks.
pub(super) fn faults(dataset: &Dataset) -> Vec<String> {
    parsed(dataset).filter_map(|read| read.err().map(|fault| fault.to_string())).collect()
}

fn parsed(dataset: &Dataset) -> impl Iterator<Item = Result<Endpoint, FileFault>> {
    let endpoints = dataset.endpoints.iter().map(Endpoint::parse);
    endpoints.chain(dataset.checks.iter().map(Endpoint::parse_check))
}

/// Checks the files, as far as that needs no service.
///
/// # Errors
/// One has a mistake, or two have the same path.
pub(super) fn check(datasets: &[Dataset]) -> Result<(), CommandError> {
    let mut endpoints = Vec::new();
    for dataset in datasets {
        endpoints.extend(read(dataset)?);
    }
    check_paths(&endpoints, &FIRST_WORDS).map_err(|fault| CommandError::usage(fault.to_string()))
}

/// Asks ClickHouse, which has the tables by now, about the columns of each endpoint and check. `latest`: the rows that are kept in memory.
///
/// # Errors
/// ClickHouse refuses a statement, or does not answer.
pub(super) async fn prepare(
    warehouse: &Warehouse,
    datasets: impl Iterator<Item = &Dataset>,
    latest: &[Arc<LastValues>],
    limits: QueryLimits,
) -> Result<Vec<Arc<Prepared>>, CommandError> {
    let mut prepared = Vec::new();
    for dataset in datasets {
        let values = latest.iter().find(|values| values.dataset.name == dataset.name);
        for endpoint in read(dataset)? {
            let one = crate::endpoints::prepare(warehouse, &dataset.name, values, endpoint, limits).await;
            prepared.push(Arc::new(one.map_err(|error| match error {
                PrepareError::File(fault) => CommandError::usage(fault.to_string()),
                PrepareError::Warehouse(error) => {
                    CommandError::failed(format!("cannot check the endpoints: {error}"))
                }
            })?));
        }
    }
    Ok(prepared)
}
