//! The endpoints of datasets: `GET` and `POST /datasets/NAME/ENDPOINT`, and the further paths that their files name. Their checks:
//! `GET /datasets/NAME/checks/CHECK`.

mod answer;
mod describe;
mod example;
mod figure;
mod format;
mod problem;
mod request;
mod schema;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::get;
use serde_json::{Map, Value};

use self::answer::Answers;
use super::state::AppState;
use crate::endpoints::Prepared;

/// The first words of the server's own paths. No further path of an endpoint may begin with one.
pub const FIRST_WORDS: [&str; 12] = [
    "aggregates",
    "console",
    "datasets",
    "docs",
    "events",
    "healthz",
    "metrics",
    "openapi.json",
    "readyz",
    "reconcile",
    "uploadcsv",
    "uploads",
];

/// The routes of all endpoints, and their description by path.
#[derive(Debug)]
pub struct Routes {
    pub router: Router,
    pub paths: Map<String, Value>,
}

/// Builds the routes of endpoints, whose paths have been checked.
pub fn routes(endpoints: &[Arc<Prepared>], server: &AppState) -> Routes {
    let answers = Arc::new(Answers::default());
    let (mut router, mut paths) = (Router::<AppState>::new(), Map::new());
    for endpoint in endpoints {
        let served = || {
            let (answers, endpoint) = (Arc::clone(&answers), Arc::clone(endpoint));
            move |State(state): State<AppState>, request: Request| async move {
                answers.respond(&state, &endpoint, request).await
            }
        };
        let aliases = endpoint.endpoint.aliases.iter();
        for (path, alias) in
            std::iter::once((endpoint.path(), None)).chain(aliases.map(|alias| (alias.path(), Some(alias))))
        {
            let methods = get(served());
            // A check has no parameters that a body could have.
            let has_post = endpoint.endpoint.check.is_none();
            router = router.route(&path, if has_post { methods.post(served()) } else { methods });
            paths.insert(path, describe::path(endpoint, alias));
        }
    }
    Routes { router: router.with_state(server.clone()), paths }
}
