//! Where the API has the parts of a dataset.

use super::BETS;

/// Returns the path of a dataset's part of the API that ends in `rest`. That of bets has no prefix.
pub fn api_path(dataset: &str, rest: &str) -> String {
    match dataset {
        BETS => rest.to_owned(),
        dataset => format!("/datasets/{dataset}{rest}"),
    }
}
