//! Errors of endpoints, as problems.

use axum::http::StatusCode;

use crate::endpoints::{EndpointError, MAX_ANSWER_BYTES};
use crate::http::parameters::shown;
use crate::http::problem::Problem;
use crate::warehouse::client::WarehouseError;

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Parameter { name, detail } => Self::parameter(&shown(&name), detail),
            EndpointError::NoRow => Self::new(
                StatusCode::NOT_FOUND,
                "no_row",
                "no row matches the parameters; change them, or wait until the rows are stored",
            ),
            EndpointError::TooLarge => Self::new(
                StatusCode::BAD_REQUEST,
                "query_too_large",
                format!(
                    "the answer is larger than {MAX_ANSWER_BYTES} bytes; select fewer rows by the parameters, or ask for another format (format=ndjson), which is streamed"
                ),
            ),
            EndpointError::TooManyPoints { limit } => Self::new(
                StatusCode::BAD_REQUEST,
                "query_too_large",
                format!("more than {limit} rows cannot be drawn; select fewer rows by the parameters"),
            ),
            EndpointError::Warehouse(error @ WarehouseError::TooMuch { .. }) => {
                let detail = format!("{}; select fewer rows by the parameters", error.summary());
                Self::from(error).saying(detail)
            }
            EndpointError::Warehouse(ref error @ WarehouseError::Exception(ref exception))
                if exception.is_of_values() =>
            {
                let detail = "the query cannot be computed with these values; change the parameters";
                Self::caused(StatusCode::BAD_REQUEST, "values_refused", detail, error)
            }
            EndpointError::Warehouse(error) => error.into(),
        }
    }
}
