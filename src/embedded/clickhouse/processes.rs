//! What runs, as clients know it: `system.processes` and `KILL QUERY` with the query ids that clients gave.
//!
//! The library gives its statements ids of its own, and its C API has no way to set one. So a statement carries the id of
//! its client in a setting ([`TAG_SETTING`]). Two views (`processes.sql`) translate. Statements that read
//! `system.processes` read a view instead, and `KILL QUERY` looks for its condition in the other.

use super::admission::Asker;
use super::statement::{edit, format_clause};
use super::tokens::{Token, Tokens, pairs};
use super::{OWN_USER, engine};

/// The setting that carries the query id. The library has no query result cache, so nothing else reads it.
pub(super) const TAG_SETTING: &str = "query_cache_tag";

/// Who sent a statement, in front of its id. Both have the same length, which the views rely on.
const OWN_PREFIX: &str = "own/";
const OTHER_PREFIX: &str = "any/";

const VIEWS: &str = include_str!("processes.sql");

/// In place of `SHOW PROCESSLIST`.
const PROCESS_LIST: &[u8] = b"SELECT * FROM system.processes_of_clients ORDER BY elapsed DESC";

/// The value of [`TAG_SETTING`] for a statement.
pub(super) fn tag(asker: Asker, query_id: &str) -> String {
    let prefix = if asker == Asker::Own { OWN_PREFIX } else { OTHER_PREFIX };
    format!("{prefix}{query_id}")
}

/// The condition by which `system.processes` finds the statement with a tag.
pub(super) fn has_tag(tag: &str) -> String {
    format!("Settings['{TAG_SETTING}'] = {}", engine::quoted(tag))
}

/// The statements that create the views.
pub(super) fn views() -> impl Iterator<Item = String> {
    VIEWS.split(';').map(|view| view.replace("@OWN_USER@", OWN_USER))
}

/// Returns what the engine runs in place of a statement about running statements, `None` if it is about anything else.
/// The text must be one statement that the engine can parse.
pub(super) fn translate(text: &[u8], asker: Asker) -> Option<Vec<u8>> {
    let begin: Vec<Token<'_>> = Tokens::new(text).take(2).collect();
    match begin.as_slice() {
        [kill, query, ..] if kill.is(b"KILL") && query.is(b"QUERY") => {
            kill_by_client_id(text, &Tokens::new(text).collect::<Vec<_>>(), asker)
        }
        [show, list, ..] if show.is(b"SHOW") && list.is(b"PROCESSLIST") => {
            Some(edit(text, [(show.start..list.end, PROCESS_LIST)]))
        }
        // A definition is kept as it was written: the views are gone when the engine stops.
        [first, ..] if first.is(b"CREATE") || first.is(b"ALTER") || first.is(b"ATTACH") => None,
        _ => read_the_view(text),
    }
}

/// Has the condition of `KILL QUERY` see clients' ids, and others than the server spare the server's statements.
fn kill_by_client_id(text: &[u8], tokens: &[Token<'_>], asker: Asker) -> Option<Vec<u8>> {
    let condition = tokens.iter().position(|token| token.depth == 0 && token.is(b"WHERE"))? + 1;
    let (first, last) = match tokens.get(condition..end_of_condition(tokens))? {
        [only] => (only, only),
        [first, .., last] => (first, last),
        [] => return None,
    };
    let guard = if asker == Asker::Own { "1" } else { "NOT is_own" };
    let before = format!(
        "query_id IN (SELECT engine_query_id FROM system.processes_with_engine_ids WHERE {guard} AND ("
    );
    Some(edit(text, [(first.start..first.start, before.as_bytes()), (last.end..last.end, b"))")]))
}

/// The number of tokens before `[SYNC | ASYNC | TEST] [FORMAT name] [SETTINGS …]`.
fn end_of_condition(tokens: &[Token<'_>]) -> usize {
    let mut end = tokens.iter().rposition(|token| !token.is(b";")).map_or(0, |last| last + 1);
    let settings = tokens.iter().rposition(|token| token.depth == 0 && token.is(b"SETTINGS"));
    let is_assignment = |at: &usize| tokens.get(at + 2).is_some_and(|token| token.is(b"="));
    end = settings.filter(is_assignment).map_or(end, |settings| settings.min(end));
    let format = format_clause(tokens)
        .and_then(|(format, _)| tokens.iter().position(|token| token.start == format.start));
    end = format.map_or(end, |format| format.min(end));
    let is_mode = |token: &Token<'_>| token.is(b"SYNC") || token.is(b"ASYNC") || token.is(b"TEST");
    if end > 0 && tokens.get(end - 1).is_some_and(is_mode) { end - 1 } else { end }
}

/// Puts the view in the place of `system.processes`.
fn read_the_view(text: &[u8]) -> Option<Vec<u8>> {
    let names = pairs(text).zip(Tokens::new(text).skip(2));
    let tables = names.filter(|((database, dot), table)| {
        database.is_name(b"system") && dot.is(b".") && table.is_name(b"processes")
    });
    let view = b"system.processes_of_clients".as_slice();
    let tables: Vec<_> = tables.map(|((database, _), table)| (database.start..table.end, view)).collect();
    (!tables.is_empty()).then(|| edit(text, tables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, asker: Asker) -> Option<String> {
        translate(text.as_bytes(), asker).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_kill_looks_for_its_condition_among_the_statements_of_clients() {
        let wrapped = "query_id IN (SELECT engine_query_id FROM system.processes_with_engine_ids WHERE NOT is_own AND (";
        let cases = [
            ("KILL QUERY WHERE 1", "KILL QUERY WHERE <1>"),
            ("kill query where query_id = 'x' OR 1;", "kill query where <query_id = 'x' OR 1>;"),
            ("KILL QUERY WHERE query_id='x' SYNC", "KILL QUERY WHERE <query_id='x'> SYNC"),
            ("KILL QUERY WHERE a = 1 ASYNC FORMAT JSON", "KILL QUERY WHERE <a = 1> ASYNC FORMAT JSON"),
            (
                "KILL QUERY WHERE (a) TEST FORMAT JSON SETTINGS b = 1",
                "KILL QUERY WHERE <(a)> TEST FORMAT JSON SETTINGS b = 1",
            ),
            ("KILL QUERY WHERE a -- ) OR (1\n OR b", "KILL QUERY WHERE <a -- ) OR (1\n OR b>"),
            ("KILL QUERY ON CLUSTER c WHERE test = 'SYNC'", "KILL QUERY ON CLUSTER c WHERE <test = 'SYNC'>"),
        ];
        for (text, expected) in cases {
            let expected = expected.replace('<', wrapped).replace('>', "))");
            assert_eq!(translated(text, Asker::Other), Some(expected), "{text}");
        }
        assert!(translated("KILL QUERY WHERE 1", Asker::Own).unwrap().contains("WHERE 1 AND (1)"));
        assert_eq!(translated("KILL MUTATION WHERE 1", Asker::Other), None);
    }

    #[test]
    fn the_view_is_read_in_place_of_the_table() {
        let cases = [
            ("SELECT 1 FROM system.processes", "SELECT 1 FROM <>"),
            (
                "SELECT system.processes.query FROM `system`.\"processes\" AS p",
                "SELECT <>.query FROM <> AS p",
            ),
            ("SHOW PROCESSLIST FORMAT CSV", "SELECT * FROM <> ORDER BY elapsed DESC FORMAT CSV"),
        ];
        for (text, expected) in cases {
            let expected = expected.replace("<>", "system.processes_of_clients");
            assert_eq!(translated(text, Asker::Other), Some(expected), "{text}");
        }
        for text in [
            "SELECT 'system.processes'",
            "SELECT 1 FROM processes",
            "CREATE VIEW v AS SELECT 1 FROM system.processes",
        ] {
            assert_eq!(translated(text, Asker::Other), None, "{text}");
        }
    }
}
