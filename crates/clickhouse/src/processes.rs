//! What runs, as clients know it: `system.processes` and `KILL QUERY` with the query ids that clients gave.
//!
//! The library gives its statements ids of its own, and its C API has no way to set one. So a statement carries the id of
//! its client in a setting ([`TAG_SETTING`]). Two views (`processes.sql`) translate. Statements that read
//! `system.processes` read a view instead, and `KILL QUERY` looks for its condition in the other.

use std::ops::Range;

use super::OWN_USER;
use super::admission::Asker;
use super::quoting::quoted;
use super::statement::{edit, format_clause};
use roundhouse_sql::{Named, Token, Tokens, triples};

/// The setting that carries the query id. The library has no query result cache, so nothing else reads it.
pub(super) const TAG_SETTING: &str = "query_cache_tag";

/// Who sent a statement, in front of its id. Both have the same length, which the views rely on.
const OWN_PREFIX: &str = "own/";
const OTHER_PREFIX: &str = "any/";

const VIEWS: &str = include_str!("processes.sql");

/// A table of the database `system`, and the view that statements read in its place.
const TABLE: &[u8] = b"processes";
const VIEW: &[u8] = b"processes_of_clients";
const VIEW_OF_SYSTEM: &[u8] = b"system.processes_of_clients";

/// In place of a KILL without a condition, which the engine does not accept.
const KILL_NOTHING: &[u8] = b"KILL QUERY WHERE 0";

/// In place of `SHOW PROCESSLIST`.
const PROCESS_LIST: &[u8] = b"SELECT * FROM system.processes_of_clients ORDER BY elapsed DESC";

/// The value of [`TAG_SETTING`] for a statement.
pub(super) fn tag(asker: Asker, query_id: &str) -> String {
    let prefix = if asker == Asker::Own { OWN_PREFIX } else { OTHER_PREFIX };
    format!("{prefix}{query_id}")
}

/// The condition by which `system.processes` finds the statement with a tag.
pub(super) fn has_tag(tag: &str) -> String {
    format!("Settings['{TAG_SETTING}'] = {}", quoted(tag))
}

/// The statements that create the views.
pub(super) fn views() -> impl Iterator<Item = String> {
    VIEWS.split(';').map(|view| view.replace("@OWN_USER@", OWN_USER))
}

/// Who reads a statement, and what names in it mean.
pub(super) struct Scope<'a> {
    pub(super) asker: Asker,
    /// The parameters of the request.
    pub(super) parameters: &'a [(String, String)],
    /// The current database is `system`.
    pub(super) in_system: bool,
}

/// Whether a statement names a table `processes` of any database.
pub(super) fn are_named(text: &[u8], parameters: &[(String, String)]) -> bool {
    Named::new(text, parameters).any(|token| token.is_name(TABLE))
}

/// Returns what the engine runs in place of a statement about running statements, `None` if it is about anything else.
/// The text must be one statement that the engine can parse.
pub(super) fn translate(text: &[u8], scope: &Scope<'_>) -> Option<Vec<u8>> {
    let begin: Vec<Token<'_>> = Tokens::new(text).take(2).collect();
    match begin.as_slice() {
        [kill, query, ..] if kill.is(b"KILL") && query.is(b"QUERY") => {
            // Never as it was written: the condition would find the server's statements.
            kill_by_client_id(text, scope).or_else(|| Some(KILL_NOTHING.to_vec()))
        }
        [show, list, ..] if show.is(b"SHOW") && list.is(b"PROCESSLIST") => {
            Some(edit(text, [(show.start..list.end, PROCESS_LIST)]))
        }
        // A definition is kept as it was written: the views are gone when the engine stops.
        [first, ..] if first.is(b"CREATE") || first.is(b"ALTER") || first.is(b"ATTACH") => None,
        _ => {
            let edits = edits(text, scope, false);
            (!edits.is_empty()).then(|| edit(text, edits))
        }
    }
}

/// Makes the condition of `KILL QUERY` see the ids of clients. Only the server itself can stop the statements of the server.
fn kill_by_client_id(text: &[u8], scope: &Scope<'_>) -> Option<Vec<u8>> {
    let condition = condition(text)?;
    let guard = if scope.asker == Asker::Own { "1" } else { "NOT is_own" };
    let before = format!(
        "query_id IN (SELECT engine_query_id FROM system.processes_with_engine_ids AS processes_of_clients \
         WHERE {guard} AND ("
    );
    let inner = edits(text, scope, true).into_iter().filter(|(range, _)| condition.start <= range.start);
    let before = (condition.start..condition.start, before.as_bytes());
    let after = (condition.end..condition.end, b"))".as_slice());
    Some(edit(text, std::iter::once(before).chain(inner).chain([after])))
}

/// Where the condition of a KILL is: from WHERE to `[SYNC | ASYNC | TEST] [FORMAT name] [SETTINGS …]`.
fn condition(text: &[u8]) -> Option<Range<usize>> {
    let at_top = |token: &Token<'_>, keyword: &[u8]| token.depth == 0 && token.is(keyword);
    let settings = triples(Tokens::new(text)).filter(|(settings, _, equals)| {
        at_top(settings, b"SETTINGS") && equals.is_some_and(|equals| equals.is(b"="))
    });
    let clauses =
        [settings.last().map(|(settings, ..)| settings), format_clause(text).map(|(format, _)| format)];
    let end = clauses.into_iter().flatten().map(|clause| clause.start).min().unwrap_or(text.len());
    let mut tokens = Tokens::new(text).filter(|token| !token.is(b";")).take_while(|token| token.start < end);
    tokens.find(|token| at_top(token, b"WHERE"))?;
    let (mut first, mut before, mut last) = (None, None, None);
    for token in tokens {
        first = first.or(Some(token.start));
        (before, last) = (last, Some(token));
    }
    let is_mode = |token: &Token<'_>| token.is(b"SYNC") || token.is(b"ASYNC") || token.is(b"TEST");
    let last = if last.as_ref().is_some_and(is_mode) { before } else { last };
    Some(first?..last?.end)
}

/// The edits that put the view in the place of `system.processes`, as a table and in front of columns. `is_read`: the statement
/// reads it even if it does not name it.
fn edits(text: &[u8], scope: &Scope<'_>, mut is_read: bool) -> Vec<(Range<usize>, &'static [u8])> {
    let (mut edits, mut without_database) = (Vec::new(), Vec::new());
    let mut has_another = false;
    let mut before: [Option<Token<'_>>; 2] = [None, None];
    for (token, next, _) in triples(Named::new(text, scope.parameters)) {
        let [database, previous] = before;
        before = [previous, Some(token)];
        if !token.is_name(TABLE) {
            continue;
        }
        let is_qualifier = next.is_some_and(|next| next.is(b"."));
        match (database, previous) {
            (Some(database), Some(dot)) if dot.is(b".") => {
                if database.is_name(b"system") {
                    is_read = true;
                    let view = if is_qualifier { VIEW } else { VIEW_OF_SYSTEM };
                    edits.push((database.start..token.end, view));
                }
            }
            _ if is_qualifier => without_database.push((token.start..token.end, VIEW)),
            (_, Some(keyword)) if scope.in_system && (keyword.is(b"FROM") || keyword.is(b"JOIN")) => {
                is_read = true;
                without_database.push((token.start..token.end, VIEW_OF_SYSTEM));
            }
            _ => has_another = true,
        }
    }
    // Without a database it may be another table, which the statement itself defines.
    if is_read && !has_another {
        edits.append(&mut without_database);
        edits.sort_by_key(|(range, _)| range.start);
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, asker: Asker) -> Option<String> {
        translated_in(false, text, asker)
    }

    fn translated_in(in_system: bool, text: &str, asker: Asker) -> Option<String> {
        let parameters = [("d", "system"), ("t", "processes")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let scope = Scope { asker, parameters: &parameters, in_system };
        translate(text.as_bytes(), &scope).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_kill_looks_for_its_condition_among_the_statements_of_clients() {
        let wrapped = "query_id IN (SELECT engine_query_id FROM system.processes_with_engine_ids AS \
                       processes_of_clients WHERE NOT is_own AND (";
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
            (
                "KILL QUERY WHERE query_id IN (SELECT query_id FROM system.processes) SYNC FORMAT CSV",
                "KILL QUERY WHERE <query_id IN (SELECT query_id FROM system.processes_of_clients)> SYNC FORMAT CSV",
            ),
            (
                "KILL QUERY WHERE system.processes.query_id = 'x' AND processes.user = 'y'",
                "KILL QUERY WHERE <processes_of_clients.query_id = 'x' AND processes_of_clients.user = 'y'>",
            ),
            ("KILL QUERY WHERE processes.user = 'y'", "KILL QUERY WHERE <processes_of_clients.user = 'y'>"),
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
                "SELECT system.processes.query FROM `system`.\"processes\"",
                "SELECT processes_of_clients.query FROM <>",
            ),
            (
                "SELECT processes.a FROM “system”.processes JOIN b",
                "SELECT processes_of_clients.a FROM <> JOIN b",
            ),
            ("SELECT 1 FROM {d:Identifier}.{t:Identifier} AS p", "SELECT 1 FROM <> AS p"),
            (
                "SELECT 1 FROM system.{ t : Identifier } WHERE {u:String} = 1",
                "SELECT 1 FROM <> WHERE {u:String} = 1",
            ),
            (
                "WITH processes AS (SELECT 1 AS a FROM system.processes) SELECT processes.a FROM processes",
                "WITH processes AS (SELECT 1 AS a FROM <>) SELECT processes.a FROM processes",
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

    #[test]
    fn the_table_needs_no_database_where_system_is_the_current_one() {
        let cases = [
            ("SELECT 1 FROM processes", "SELECT 1 FROM <>"),
            (
                "SELECT processes.a FROM one JOIN processes AS p",
                "SELECT processes_of_clients.a FROM one JOIN <> AS p",
            ),
            ("SELECT 1 FROM {t:Identifier} FORMAT CSV", "SELECT 1 FROM <> FORMAT CSV"),
        ];
        for (text, expected) in cases {
            let expected = expected.replace("<>", "system.processes_of_clients");
            assert_eq!(translated_in(true, text, Asker::Other), Some(expected), "{text}");
        }
        for text in [
            "SELECT processes FROM one",
            "SELECT 1 FROM other.processes",
            "WITH processes AS (SELECT 1 AS a) SELECT processes.a FROM processes",
        ] {
            assert_eq!(translated_in(true, text, Asker::Other), None, "{text}");
        }
    }
}
