//! How long a request may take until its response begins. Uploads, and requests that wait because the client asked for it, have their own
//! limits.

use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::counted::counted;

/// Time for a request besides one ClickHouse query.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// The deadline of every request without a limit of its own.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Duration);

impl Deadline {
    /// `query`: the limit of a query.
    pub fn with_query(query: Duration) -> Self {
        Self(REQUEST_TIME + query)
    }
}

/// Cancels a request that takes too long, and answers with an error.
pub async fn answer_in_time(
    Extension(Deadline(deadline)): Extension<Deadline>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::timeout(deadline, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("no response within {}; try again later", counted(deadline.as_secs(), "second"));
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", detail).into_response()
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware;
    use axum::routing::get;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_503() {
        let sleep = |seconds| async move || tokio::time::sleep(Duration::from_secs(seconds)).await;
        let app = Router::new()
            .route("/late", get(sleep(36)))
            .route("/in-time", get(sleep(34)))
            .layer(middleware::from_fn(answer_in_time))
            .layer(Extension(Deadline::with_query(Duration::from_secs(5))));
        let app = TowerToHyperService::new(app);
        let ask = async |path: &str| app.call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(ask("/in-time").await.status(), 200);
        let late = ask("/late").await;
        assert_eq!((late.status().as_u16(), late.headers()["retry-after"].to_str().unwrap()), (503, "5"));
        assert_eq!(late.extensions().get::<Problem>().map(Problem::code), Some("timed_out"));
    }
}
