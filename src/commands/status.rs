//! `roundhouse status`: whether every part of a running server is ready.

use std::process::ExitCode;

use indicatif::DecimalBytes;
use serde_json::Value;

use super::CommandError;
use super::client::{Api, Failure, answered};
use super::table::{self, shown};
use crate::counted::counted;
use crate::settings::StatusOptions;

/// Exit code: a part is not ready.
const EXIT_NOT_READY: u8 = 1;

pub(super) async fn run(options: StatusOptions) -> Result<ExitCode, CommandError> {
    let api = Api::new(&options.server)?;
    let (text, status) = match api.get(api.url("/readyz"), "ready").await {
        // A server that is not ready says so with a problem that has the parts too.
        Err(Failure::Refused(problem)) if problem["code"] == "not_ready" => (problem.to_string(), problem),
        answer => answered(answer, options.json)?,
    };
    if options.json {
        table::print(format_args!("{text}\n"))?;
    } else {
        table::print(in_words(&status))?;
    }
    Ok(if status["ready"] == true { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_READY) })
}

fn in_words(status: &Value) -> String {
    let parts = status["parts"].as_object();
    let count = |ready: bool| parts.into_iter().flatten().filter(|(_, part)| part["ready"] == ready).count();
    let first = match (status["ready"] == true, count(false), count(false) + count(true)) {
        (true, _, all) => format!("ready: {all} of {}", counted(all as u64, "part")),
        (false, away, all) => format!("not ready: {away} of {}", counted(all as u64, "part")),
    };
    let mut table = table::new(["part", "state", "details"].into_iter());
    for (name, part) in parts.into_iter().flatten() {
        let state = if part["ready"] == true { "ready" } else { "not ready" };
        table.add_row([name.clone(), state.to_owned(), details(part)]);
    }
    format!("{first}; --loader is {}\n{table}\n", shown(&status["loader"]))
}

/// Returns why a part is not ready, and what else is known about it.
fn details(part: &Value) -> String {
    let reason = Some(shown(&part["reason"])).filter(|reason| !reason.is_empty());
    let space = part["free_bytes"].as_u64().zip(part["reserve_bytes"].as_u64());
    let space = space.map(|(free, reserve)| {
        format!("{} free, {} kept in reserve", DecimalBytes(free), DecimalBytes(reserve))
    });
    reason.into_iter().chain(space).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_part_is_named_with_its_reason() {
        let status = json!({ "ready": false, "loader": "roundhouse", "parts": {
            "broker": { "ready": false, "reason": "the broker does not answer" },
            "disk": { "ready": true, "free_bytes": 2_000_000_000, "reserve_bytes": 1_000_000_000 },
        } });
        let shown = in_words(&status);
        assert!(shown.starts_with("not ready: 1 of 2 parts; --loader is roundhouse\n"), "{shown}");
        let line = |part: &str| shown.lines().find(|line| line.contains(part)).unwrap().to_owned();
        assert!(
            line("broker").contains("not ready") && line("broker").contains("does not answer"),
            "{shown}"
        );
        assert!(line("disk").contains("2.00 GB free, 1.00 GB kept in reserve"), "{shown}");
        let shown =
            in_words(&json!({ "ready": true, "loader": "none", "parts": { "disk": { "ready": true } } }));
        assert!(shown.starts_with("ready: 1 of 1 part; --loader is none\n"), "{shown}");
    }
}
