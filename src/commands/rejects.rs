//! `roundhouse rejects` and `roundhouse conflicts`: the rows of an upload that are not stored as its file has them.

use serde_json::Value;

use super::CommandError;
use super::client::Api;
use super::client::list::{self, Columns};
use super::client::problem::advice;
use super::table::{self, shortened, shown};
use crate::dataset::BETS;
use crate::dataset::api_path::api_path;
use crate::settings::{ConflictsOptions, RejectsOptions};

/// Characters of a rejected row that are shown.
const SHOWN_CHARACTERS: usize = 60;

const REJECTS: Columns = Columns { names: &["line", "column", "code", "reason", "row"], cells: reject };

const CONFLICTS: Columns =
    Columns { names: &["line", "round", "difference", "stored from"], cells: conflict_of_bets };

const CONFLICTS_OF_DATASET: Columns =
    Columns { names: &["line", "key", "difference", "stored from"], cells: conflict_of_dataset };

/// Lists the rejected rows of an upload.
pub(super) async fn rejects(options: RejectsOptions) -> Result<(), CommandError> {
    let api = Api::new(&options.list.server)?;
    let mut url = api.url(&format!("/uploads/{}/rejects", options.upload));
    if let Some(code) = &options.code {
        url.query_pairs_mut().append_pair("code", code);
    }
    if options.replayed {
        url.query_pairs_mut().append_pair("replayed", "true");
    }
    let what = if options.replayed { "rows that a replay has sent" } else { "rejected rows" };
    list::show(&api, url, &options.list, REJECTS, what).await
}

/// Lists the rows of an upload that are stored with different values.
pub(super) async fn conflicts(options: ConflictsOptions) -> Result<(), CommandError> {
    let api = Api::new(&options.list.server)?;
    let url = api.url(&api_path(&options.dataset, &format!("/uploads/{}/conflicts", options.upload)));
    let (columns, what) = match options.dataset.as_str() {
        BETS => (CONFLICTS, "rows in conflict with stored rounds"),
        _ => (CONFLICTS_OF_DATASET, "rows in conflict with stored rows"),
    };
    list::show(&api, url, &options.list, columns, what).await
}

fn reject(row: &Value) -> Vec<String> {
    let raw = shortened(&shown(&row["raw"]), SHOWN_CHARACTERS);
    // An older server names only the first fault.
    let faults = row["faults"].as_array().map_or(std::slice::from_ref(row), Vec::as_slice);
    let lines =
        |member: &str| faults.iter().map(|fault| shown(&fault[member])).collect::<Vec<_>>().join("\n");
    let columns = Some(lines("column")).filter(|columns| !columns.is_empty());
    let columns = columns.unwrap_or_else(|| "the whole row".to_owned());
    vec![shown(&row["line"]), columns, lines("code"), advice(&lines("reason")), raw]
}

fn conflict_of_bets(row: &Value) -> Vec<String> {
    conflict(row, shown(&row["game_instance_id"]))
}

/// Shows the columns of the key with their names: those that are not there twice.
fn conflict_of_dataset(row: &Value) -> Vec<String> {
    let members = row.as_object().into_iter().flatten();
    let is_key = |name: &str| {
        name != "line" && !name.starts_with("stored_") && row.get(format!("stored_{name}")).is_none()
    };
    let key = members.filter(|(name, _)| is_key(name)).map(|(name, part)| format!("{name}: {}", value(part)));
    conflict(row, key.collect::<Vec<_>>().join("\n"))
}

fn conflict(row: &Value, key: String) -> Vec<String> {
    let members = row.as_object().into_iter().flatten();
    let values = members.filter_map(|(name, sent)| Some((name, sent, row.get(format!("stored_{name}"))?)));
    let differences = values
        .filter(|(name, sent, stored)| name.as_str() != "line" && sent != stored)
        .map(|(name, sent, stored)| format!("{name}: {} in the file, {} stored", value(sent), value(stored)));
    let from = format!("line {} of upload {}", shown(&row["stored_line"]), shown(&row["stored_upload_id"]));
    let differences = differences.collect::<Vec<_>>().join("\n");
    vec![shown(&row["line"]), key, differences, from]
}

fn value(value: &Value) -> String {
    table::or_null(value, SHOWN_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_conflict_shows_the_values_that_differ() {
        let row = json!({
            "line": 2, "game_instance_id": 7, "real_amount_bet": 7, "stored_real_amount_bet": 0.25, "bonus_amount_win": null,
            "stored_bonus_amount_win": 1, "game_id": 3, "stored_game_id": 3, "stored_line": 4, "stored_upload_id": "u",
        });
        let differences =
            "bonus_amount_win: NULL in the file, 1 stored\nreal_amount_bet: 7 in the file, 0.25 stored";
        assert_eq!(conflict_of_bets(&row), ["2", "7", differences, "line 4 of upload u"]);
    }

    #[test]
    fn a_conflict_of_another_dataset_shows_the_columns_of_its_key() {
        let row = json!({
            "line": 2, "merchant": "shop", "payment_id": 7, "amount": "1.5", "stored_amount": "2", "stored_line": 4, "stored_upload_id": "u",
        });
        let from = "line 4 of upload u";
        let cells = ["2", "merchant: shop\npayment_id: 7", "amount: 1.5 in the file, 2 stored", from];
        assert_eq!(conflict_of_dataset(&row), cells);
    }

    #[test]
    fn a_rejected_row_is_cut_and_has_no_control_characters() {
        let row = json!({ "line": 3, "column": "", "code": "c", "reason": "r", "raw": format!("\u{1b}{}", "é".repeat(80)) });
        let raw = format!("\u{fffd}{}…", "é".repeat(59));
        assert_eq!(reject(&row), ["3", "the whole row", "c", "r", &raw]);
        let fault = |column: &str| json!({ "column": column, "code": "c", "reason": "r" });
        let row = json!({ "line": 3, "column": "a", "code": "c", "reason": "r", "raw": "x", "faults": [fault("a"), fault("b")] });
        assert_eq!(reject(&row), ["3", "a\nb", "c\nc", "r\nr", "x"]);
    }
}
