//! The differences that a reconciliation found, as a table.

use reqwest::Method;
use serde_json::Value;

use crate::commands::CommandError;
use crate::commands::client::Api;
use crate::commands::client::list::{self, Columns};
use crate::commands::table::{self, shown};
use crate::dataset::BETS;
use crate::settings::Count;

const COLUMNS: Columns = Columns { names: &["difference", "line", "round", "details"], cells: difference };

const COLUMNS_OF_DATASET: Columns =
    Columns { names: &["difference", "line", "key", "details"], cells: difference_of_dataset };

/// Characters of one value that are shown.
const SHOWN_CHARACTERS: usize = 80;

/// Prints the first differences of a job, or all.
pub async fn print(api: &Api, dataset: &str, job: &Value, wanted: Count) -> Result<(), CommandError> {
    let Some(link) = job["links"]["differences"].as_str().filter(|_| job["verdict"] != "match") else {
        return Ok(());
    };
    let columns = if dataset == BETS { COLUMNS } else { COLUMNS_OF_DATASET };
    let url = api.url(&format!("{link}?format=ndjson"));
    let answer = api.send(api.request(Method::GET, url)).await?;
    if list::print_table(answer, wanted.most(), columns).await?.is_more {
        let url = api.shown(link);
        table::print(format_args!("More differences exist: use --differences all, or curl '{url}'\n"))?;
    }
    Ok(())
}

fn difference(difference: &Value) -> Vec<String> {
    let [kind, line, round] = ["kind", "line", "game_instance_id"].map(|member| shown(&difference[member]));
    vec![kind, line, round, what(difference)]
}

fn difference_of_dataset(difference: &Value) -> Vec<String> {
    let [kind, line] = ["kind", "line"].map(|member| shown(&difference[member]));
    let aggregate = &difference["aggregate"];
    let key = match aggregate["table"].as_str() {
        Some(table) => format!("{table}\n{}", lines(&aggregate["key"])),
        None => lines(&difference["key"]),
    };
    vec![kind, line, key, what(difference)]
}

/// Returns each member of an object on a line.
fn lines(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| format!("{name}: {}", or_null(value))).collect::<Vec<_>>().join("\n")
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
        Some("aggregate") => sums(&difference["aggregate"], "rows"),
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
    let known: Vec<String> = known.iter().filter_map(|name| row.get(name)).map(or_null).collect();
    let all = || row.as_object().into_iter().flatten().map(|(_, value)| or_null(value)).collect();
    if known.is_empty() { all() } else { known }.join(" ")
}

fn hour(difference: &Value) -> String {
    let of = ["created_hour", "player_id", "game_id"].map(|name| shown(&difference[name]));
    format!("{}\n{}", of.join(" "), sums(difference, "rounds"))
}

/// Returns the sums that differ. `rows`: what they are sums of.
fn sums(difference: &Value, rows: &str) -> String {
    let (expected, aggregated) = (&difference["expected"], &difference["aggregated"]);
    let members = expected.as_object().into_iter().flatten();
    let sums = members.filter(|(name, value)| aggregated[name.as_str()] != **value).map(|(name, value)| {
        format!("{name}: {} by its {rows}, {} aggregated", shown(value), shown(&aggregated[name.as_str()]))
    });
    sums.collect::<Vec<_>>().join("\n")
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
        let aggregate = json!({ "kind": "aggregate", "aggregate": { "table": "daily", "key": { "day": "d", "shop": null },
            "expected": { "payments": 3, "amount": "1" }, "aggregated": { "payments": 2, "amount": "1" } } });
        let cells = difference_of_dataset(&aggregate);
        assert_eq!(
            cells,
            ["aggregate", "", "daily\nday: d\nshop: NULL", "payments: 3 by its rows, 2 aggregated"]
        );
        let missing = json!({ "kind": "missing", "line": 3, "key": { "shop": "a", "id": 7 }, "file": { "amount": "1.5", "method": "card" } });
        assert_eq!(difference_of_dataset(&missing), ["missing", "3", "id: 7\nshop: a", "1.5 card"]);
        let unexpected = json!({ "kind": "unexpected", "stored": { "user_id": "a\u{1b}" }, "upload_id": "u", "upload_line": 4 });
        assert_eq!(what(&unexpected), "a\u{fffd}\nfrom line 4 of upload u");
    }
}
