//! The differences that a reconciliation found, as a table.

use reqwest::Method;
use serde_json::Value;

use crate::commands::CommandError;
use crate::commands::client::Api;
use crate::commands::client::list::{self, Columns};
use crate::commands::table::{self, shown};
use crate::settings::Count;

const COLUMNS: Columns = Columns { names: &["difference", "line", "round", "details"], cells: difference };

/// Characters of one value that are shown.
const SHOWN_CHARACTERS: usize = 80;

/// Prints the first differences of a job, or all.
pub async fn print(api: &Api, job: &Value, wanted: Count) -> Result<(), CommandError> {
    let Some(link) = job["links"]["differences"].as_str().filter(|_| job["verdict"] != "match") else {
        return Ok(());
    };
    let url = api.url(&format!("{link}?format=ndjson"));
    let answer = api.send(api.request(Method::GET, url)).await?;
    if list::print_table(answer, wanted.most(), COLUMNS).await?.is_more {
        let url = api.shown(link);
        table::print(format_args!("More differences exist: use --differences all, or curl '{url}'\n"))?;
    }
    Ok(())
}

fn difference(difference: &Value) -> Vec<String> {
    let [kind, line, round] = ["kind", "line", "game_instance_id"].map(|member| shown(&difference[member]));
    vec![kind, line, round, what(difference)]
}

/// Says what is different.
fn what(difference: &Value) -> String {
    match difference["kind"].as_str() {
        Some("different") => fields(difference),
        Some("missing") => values(&difference["file"]),
        Some("contradictory_in_file") if difference["stored"].is_object() => {
            format!("{} in the file\n{} stored", values(&difference["file"]), values(&difference["stored"]))
        }
        Some("contradictory_in_file") => format!("{} in the file\nnot stored", values(&difference["file"])),
        Some("unexpected") => {
            let from = (shown(&difference["upload_id"]), shown(&difference["upload_line"]));
            format!("{}\nfrom line {} of upload {}", values(&difference["stored"]), from.1, from.0)
        }
        Some("hour") => hour(difference),
        _ => String::new(),
    }
}

fn fields(difference: &Value) -> String {
    let fields = difference["fields"].as_object().into_iter().flatten();
    let sides = fields.map(|(name, sides)| {
        format!("{name}: {} in the file, {} stored", or_null(&sides["file"]), or_null(&sides["stored"]))
    });
    sides.collect::<Vec<_>>().join("\n")
}

/// Returns the values of a row by which a person recognises it.
fn values(row: &Value) -> String {
    let known = ["created_timestamp", "user_id", "game_id", "real_amount_bet", "real_amount_win"];
    known.iter().filter_map(|name| row.get(name)).map(or_null).collect::<Vec<_>>().join(" ")
}

fn hour(difference: &Value) -> String {
    let (expected, aggregated) = (&difference["expected"], &difference["aggregated"]);
    let sums = expected
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| aggregated[name.as_str()] != **value);
    let sums = sums.map(|(name, value)| {
        format!("{name}: {} by its rounds, {} aggregated", shown(value), shown(&aggregated[name.as_str()]))
    });
    let sums = sums.collect::<Vec<_>>().join("\n");
    let of = ["created_hour", "player_id", "game_id"].map(|name| shown(&difference[name]));
    format!("{}\n{sums}", of.join(" "))
}

pub(super) fn or_null(value: &Value) -> String {
    table::or_null(value, SHOWN_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_says_what_is_different() {
        let different = json!({ "kind": "different", "fields": { "real_amount_win": { "file": "0.5", "stored": null } } });
        assert_eq!(what(&different), "real_amount_win: 0.5 in the file, NULL stored");
        let long = json!({ "kind": "missing", "file": { "user_id": "é".repeat(81) } });
        assert_eq!(what(&long), format!("{}…", "é".repeat(80)));
        let row = json!({ "user_id": "p", "real_amount_bet": "1", "game_name": "g" });
        let contradictory = json!({ "kind": "contradictory_in_file", "file": row, "stored": row });
        assert_eq!(what(&contradictory), "p 1 in the file\np 1 stored");
        let contradictory = json!({ "kind": "contradictory_in_file", "file": row });
        assert_eq!(what(&contradictory), "p 1 in the file\nnot stored");
        let hour = json!({ "kind": "hour", "created_hour": "h", "player_id": "p", "game_id": 7,
            "expected": { "rounds_played": 3, "real_amount_bet": "1" }, "aggregated": { "rounds_played": 2, "real_amount_bet": "1" } });
        assert_eq!(what(&hour), "h p 7\nrounds_played: 3 by its rounds, 2 aggregated");
        let unexpected = json!({ "kind": "unexpected", "stored": { "user_id": "a\u{1b}" }, "upload_id": "u", "upload_line": 4 });
        assert_eq!(what(&unexpected), "a\u{fffd}\nfrom line 4 of upload u");
    }
}
