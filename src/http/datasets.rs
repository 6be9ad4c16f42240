//! `GET /datasets` and `GET /datasets/{name}`: what each dataset is, and how many rows are stored, missing and rejected.

mod described;
mod measure;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use self::described::Described;
use self::measure::Measured;
use self::view::DatasetDetails;
pub use self::view::DatasetView;
use super::aggregates::permit;
use super::openapi::parameters::DatasetName;
use super::openapi::problems;
use super::parameters::{self, Query};
use super::problem::Problem;
use super::state::{AppState, Served};
use crate::endpoints::Prepared;
use crate::warehouse::client::in_time;

/// The datasets of a server. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Catalogue {
    datasets: Arc<[Described]>,
    /// The state of any of them, for what they share.
    server: AppState,
}

impl Catalogue {
    pub fn new(served: &[Served], endpoints: &[Arc<Prepared>], server: &AppState) -> Self {
        let described = served.iter().map(|served| Described::new(served.app.dataset(), endpoints));
        Self { datasets: described.collect(), server: server.clone() }
    }

    /// Reads the numbers of some datasets.
    async fn measure(&self, datasets: &[Described]) -> Result<Measured, Problem> {
        let _permit = permit(&self.server).await?;
        Ok(in_time(self.server.query_limits.timeout, Measured::read(&self.server, datasets)).await?)
    }
}

/// The datasets of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Datasets)]
pub struct Page {
    items: Vec<DatasetView>,
}

/// List the datasets
///
/// The kinds of rows that this server takes, and how many rows are stored, missing and rejected.
#[utoipa::path(
    get, path = "/datasets", tag = "datasets", operation_id = "list_datasets",
    responses((status = 200, description = "The datasets", body = Page), problems::Datasets)
)]
pub async fn list(State(catalogue): State<Catalogue>, _: Query<()>) -> Result<Json<Page>, Problem> {
    let measured = catalogue.measure(&catalogue.datasets).await?;
    let items = catalogue.datasets.iter().map(|dataset| DatasetView::new(dataset, &measured)).collect();
    Ok(Json(Page { items }))
}

/// Show a dataset
///
/// The same as in the list, with its columns and its schema.
#[utoipa::path(
    get, path = "/datasets/{name}", tag = "datasets", operation_id = "show_dataset", params(DatasetName),
    responses((status = 200, description = "The dataset", body = DatasetDetails), problems::Dataset)
)]
pub async fn show(
    State(catalogue): State<Catalogue>,
    Path(name): Path<String>,
    _: Query<()>,
) -> Result<Json<DatasetDetails>, Problem> {
    let found = catalogue.datasets.iter().find(|dataset| dataset.dataset.name == name);
    let Some(dataset) = found else {
        let known: Vec<&str> =
            catalogue.datasets.iter().map(|dataset| dataset.dataset.name.as_str()).collect();
        let detail = format!(
            "this server does not serve the dataset {}; it serves {}",
            parameters::shown(&name),
            known.join(", ")
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_dataset", detail));
    };
    let measured = catalogue.measure(std::slice::from_ref(dataset)).await?;
    Ok(Json(DatasetDetails::new(dataset, &measured)))
}
