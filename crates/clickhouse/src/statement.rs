//! Reads just enough SQL to serve it: is it an INSERT with data, does it return rows, in which format?
//!
//! Everything else is left to the engine. A text that this module does not understand goes to the engine unchanged, which
//! then answers with its own error.

use roundhouse_sql::{Named, Token, Tokens, pairs, triples};
use std::ops::Range;

/// The kinds of statements that are served differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    /// `INSERT INTO … FORMAT x` or `… VALUES`: data follows.
    Insert(Insert<'a>),
    /// A SELECT: it may return many rows.
    Select,
    /// Anything else.
    Other,
}

/// An INSERT whose data follows its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insert<'a> {
    /// The text before FORMAT or VALUES.
    pub(super) head: &'a [u8],
    pub(super) format: &'a str,
    /// Where the data begins.
    pub(super) data: usize,
    /// More text would not change any of this: the format's name and the white space after it are complete.
    pub(super) settled: bool,
}

/// Clauses by which the client reads or writes a file. A server refuses both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientFile {
    Infile,
    Outfile,
}

/// Returns the shape of a text.
pub(super) fn shape(text: &[u8]) -> Shape<'_> {
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.by_ref().find(|token| !token.is(b"(")) else {
        return Shape::Other;
    };
    if first.is(b"INSERT") {
        return insert(text, tokens).map_or(Shape::Other, Shape::Insert);
    }
    if first.is(b"SELECT") || first.is(b"WITH") || first.is(b"FROM") { Shape::Select } else { Shape::Other }
}

/// Whether a text begins with one of these keywords.
pub(super) fn begins_with(text: &[u8], keywords: &[&[u8]]) -> bool {
    Tokens::new(text).next().is_some_and(|first| keywords.iter().any(|keyword| first.is(keyword)))
}

/// The name after FORMAT at the end of a statement that returns rows.
pub(super) fn output_format(text: &[u8]) -> Option<&str> {
    format_clause(text).and_then(|(_, name)| as_str(name.text))
}

/// Makes a SELECT write its result to a file, which the engine's client does in any format, block by block.
pub(super) fn into_file(text: &[u8], path: &str) -> Vec<u8> {
    let end = || Tokens::new(text).filter(|token| !token.is(b";")).last().map_or(0, |token| token.end);
    let position = format_clause(text).map_or_else(end, |(keyword, _)| keyword.start);
    let (before, after) = text.split_at_checked(position).unwrap_or((text, b""));
    [before, format!(" INTO OUTFILE '{path}' APPEND COMPRESSION 'none' ").as_bytes(), after].concat()
}

/// Replaces ranges of a text, which must be in order and not overlap.
pub(super) fn edit<'r>(text: &[u8], edits: impl IntoIterator<Item = (Range<usize>, &'r [u8])>) -> Vec<u8> {
    let mut edited = Vec::with_capacity(text.len());
    let mut position = 0;
    for (range, replacement) in edits {
        edited.extend_from_slice(text.get(position..range.start).unwrap_or_default());
        edited.extend_from_slice(replacement);
        position = range.end;
    }
    edited.extend_from_slice(text.get(position..).unwrap_or_default());
    edited
}

/// The keyword FORMAT and the name after it. A column may have the name `format`, but only SETTINGS may follow the clause.
pub(super) fn format_clause(text: &[u8]) -> Option<(Token<'_>, Token<'_>)> {
    let is_last = |next: Option<Token<'_>>| next.is_none_or(|next| next.is(b";") || next.is(b"SETTINGS"));
    let clauses = triples(Tokens::new(text)).filter_map(|(keyword, name, next)| {
        let name = name.filter(|name| name.word)?;
        let found = keyword.depth == 0 && keyword.is(b"FORMAT") && is_last(next);
        found.then_some((keyword, name))
    });
    clauses.last()
}

/// The file that a text wants the client to read or write, if any.
pub(super) fn client_file(text: &[u8]) -> Option<ClientFile> {
    pairs(text).find_map(|(word, file)| {
        if word.is(b"INTO") && file.is(b"OUTFILE") {
            Some(ClientFile::Outfile)
        } else if word.is(b"FROM") && file.is(b"INFILE") {
            Some(ClientFile::Infile)
        } else {
            None
        }
    })
}

/// The settings that a text names, in a SETTINGS clause or in SET.
pub(super) fn named_settings(text: &[u8]) -> impl Iterator<Item = String> {
    let mut in_list = false;
    let mut before: Option<Token<'_>> = None;
    pairs(text).filter_map(move |(token, next)| {
        let begins = before.is_some_and(|before| before.is(b"SETTINGS") || before.is(b"SET"));
        let goes_on = in_list && before.is_some_and(|before| before.is(b","));
        before = Some(token);
        if next.is(b"=") && (begins || goes_on) {
            in_list = true;
            return Some(token.unquoted());
        }
        if begins && next.is(b",") {
            // A setting that is switched on may stand without a value.
            in_list = true;
        } else if token.is(b"SETTINGS") || token.is(b"SELECT") {
            in_list = false;
        }
        None
    })
}

/// Takes `readonly = …` out of a SET: its level, and the rest of the statement if anything is left to set.
pub(super) fn take_read_only(text: &[u8]) -> Option<(u8, Option<Vec<u8>>)> {
    let mut tokens = triples(Tokens::new(text).filter(|token| !token.is(b";")));
    let (before, name, _) = tokens.by_ref().find(|(_, name, equals)| {
        name.is_some_and(|name| name.is_name(b"readonly")) && equals.is_some_and(|equals| equals.is(b"="))
    })?;
    let (_, value, comma) = tokens.nth(1).and_then(|(equals, value, comma)| Some((equals, value?, comma)))?;
    let level = match value.unquoted().to_ascii_lowercase().as_str() {
        "0" | "false" | "default" => 0,
        "1" | "true" => 1,
        "2" => 2,
        _ => return None,
    };
    let rest = match comma {
        Some(comma) => Some(edit(text, [(name?.start..comma.end, b"".as_slice())])),
        None if before.is(b",") => Some(edit(text, [(before.start..value.end, b"".as_slice())])),
        None => None,
    };
    Some((level, rest))
}

/// The table of the database `system` that a text shows the definition of, and where its name ends.
pub(super) fn shown_system_table(text: &[u8], parameters: &[(String, String)]) -> Option<(String, usize)> {
    // SHOW CREATE TABLE system . name
    let tokens: Vec<Token<'_>> = Named::new(text, parameters).take(6).collect();
    let name = match tokens.as_slice() {
        [show, create, table, name @ ..]
            if show.is(b"SHOW") && create.is(b"CREATE") && table.is(b"TABLE") =>
        {
            name
        }
        [show, create, name @ ..] if show.is(b"SHOW") && create.is(b"CREATE") => name,
        _ => return None,
    };
    match name {
        [database, dot, table, ..] if database.is_name(b"system") && dot.is(b".") => {
            Some((table.unquoted(), table.end))
        }
        _ => None,
    }
}

/// Whether a statement that changes something answers with rows all the same.
pub(super) fn reports(text: &[u8]) -> bool {
    begins_with(text, &[b"KILL", b"CHECK", b"BACKUP", b"RESTORE"])
}

/// Whether a text inserts what it selects from `input()`. The engine's client would drop the data that follows.
pub(super) fn inserts_from_input(text: &[u8]) -> bool {
    Tokens::new(text).any(|token| token.depth == 0 && token.is(b"INSERT"))
        && pairs(text).any(|(name, open)| name.is(b"input") && open.is(b"("))
}

/// Disarms comments that the engine's client would read as instructions to its test runner
/// (`-- { serverError 60 }` makes it hide the error), without moving a byte.
pub(super) fn disarm_hints(text: &mut [u8]) {
    let mut tokens = Tokens::new(text);
    let mut comments = Vec::new();
    loop {
        let from = tokens.position();
        tokens.skip_blank();
        let blank = from..tokens.position();
        if text.get(blank.clone()).is_some_and(|blank| blank.contains(&b'{')) {
            comments.push(blank);
        }
        if tokens.next().is_none() {
            break;
        }
    }
    for comment in comments {
        for byte in text.get_mut(comment).into_iter().flatten().filter(|byte| **byte == b'{') {
            *byte = b' ';
        }
    }
}

/// Reads an INSERT after that keyword.
fn insert<'a>(text: &'a [u8], mut tokens: Tokens<'a>) -> Option<Insert<'a>> {
    skip_table(&mut tokens)?;
    while let Some(token) = tokens.next() {
        if token.depth > 0 {
            continue;
        }
        if token.is(b"VALUES") {
            let settled = token.end < text.len();
            return Some(Insert {
                head: text.get(..token.start)?,
                format: "Values",
                data: token.end,
                settled,
            });
        }
        if token.is(b"FORMAT") {
            let name = tokens.next().filter(|name| name.word)?;
            let (data, newline) = skip_to_data(text, name.end);
            let settled = newline || data < text.len();
            return Some(Insert {
                head: text.get(..token.start)?,
                format: as_str(name.text)?,
                data,
                settled,
            });
        }
        let reads_elsewhere: [&[u8]; 4] = [b"SELECT", b"WITH", b"FROM", b"WATCH"];
        if reads_elsewhere.iter().any(|keyword| token.is(keyword)) {
            return None;
        }
    }
    None
}

/// Skips `[INTO] [TABLE] [FUNCTION] name[.name]`, because a table may have the name of a keyword.
fn skip_table(tokens: &mut Tokens<'_>) -> Option<()> {
    let mut token = tokens.next()?;
    for keyword in [b"INTO".as_slice(), b"TABLE", b"FUNCTION"] {
        if token.is(keyword) {
            token = tokens.next()?;
        }
    }
    if token.is(b"{") {
        tokens.by_ref().find(|token| token.is(b"}"))?;
    }
    let mut ahead = tokens.clone();
    if ahead.next()?.is(b".") {
        ahead.next()?;
        *tokens = ahead;
    }
    Some(())
}

/// Data begins after the blanks that follow the format's name, and after one line break.
fn skip_to_data(text: &[u8], from: usize) -> (usize, bool) {
    let at = |position: usize| text.get(position).copied();
    let mut position = from;
    while matches!(at(position), Some(b' ' | b'\t' | b'\x0c')) {
        position += 1;
    }
    if at(position) == Some(b'\r') {
        position += 1;
    }
    let newline = at(position) == Some(b'\n');
    (position + usize::from(newline), newline)
}

fn as_str(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, &str, bool)> {
        match shape(text.as_bytes()) {
            Shape::Insert(insert) => Some((
                std::str::from_utf8(insert.head).unwrap(),
                insert.format,
                &text[insert.data..],
                insert.settled,
            )),
            _ => None,
        }
    }

    #[test]
    fn an_insert_is_split_where_its_data_begins() {
        let cases = [
            ("INSERT INTO t FORMAT CSV\n1,2", ("INSERT INTO t ", "CSV", "1,2", true)),
            ("insert into d.t(a, b) format RowBinary\n", ("insert into d.t(a, b) ", "RowBinary", "", true)),
            ("INSERT INTO t VALUES (1), (2)", ("INSERT INTO t ", "Values", " (1), (2)", true)),
            ("INSERT INTO t FORMAT CSV", ("INSERT INTO t ", "CSV", "", false)),
            ("INSERT INTO t VALUES", ("INSERT INTO t ", "Values", "", false)),
            ("INSERT INTO values VALUES (1)", ("INSERT INTO values ", "Values", " (1)", true)),
            ("INSERT INTO `a b`.format FORMAT TSV \r\n\n", ("INSERT INTO `a b`.format ", "TSV", "\n", true)),
            (
                "/* x */ INSERT INTO t -- VALUES\n SETTINGS a='FORMAT', b=1 FORMAT JSONEachRow {}",
                ("/* x */ INSERT INTO t -- VALUES\n SETTINGS a='FORMAT', b=1 ", "JSONEachRow", "{}", true),
            ),
            (
                "INSERT INTO FUNCTION remote('h', 'VALUES') (a) FORMAT TSV\n",
                ("INSERT INTO FUNCTION remote('h', 'VALUES') (a) ", "TSV", "", true),
            ),
            ("INSERT INTO {t:Identifier} FORMAT TSV\nx", ("INSERT INTO {t:Identifier} ", "TSV", "x", true)),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_insert_that_reads_from_elsewhere_has_no_data() {
        for text in [
            "INSERT INTO t SELECT 1 FORMAT CSV",
            "INSERT INTO t (a) WITH 1 AS x SELECT x",
            "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
            "INSERT INTO t",
            "INSERT",
        ] {
            assert_eq!(shape(text.as_bytes()), Shape::Other, "{text}");
        }
    }

    #[test]
    fn all_forms_of_select_are_recognized() {
        for text in
            ["select 1", " -- c\n((SELECT 1))", "WITH 1 AS x SELECT x", "FROM t SELECT a", "# c\nselect 1"]
        {
            assert_eq!(shape(text.as_bytes()), Shape::Select, "{text}");
        }
        for text in ["SHOW TABLES", "CREATE TABLE t AS SELECT 1", "", "'SELECT'", "exit"] {
            assert_eq!(shape(text.as_bytes()), Shape::Other, "{text}");
        }
    }

    #[test]
    fn the_output_format_is_the_last_at_the_top() {
        assert_eq!(output_format(b"SELECT 1 FORMAT JSON"), Some("JSON"));
        assert_eq!(output_format(b"SELECT 1 FORMAT JSON SETTINGS a = 1;"), Some("JSON"));
        assert_eq!(output_format(b"SELECT 'FORMAT CSV' /* FORMAT XML */"), None);
        assert_eq!(output_format(b"SELECT format('{}', 1)"), None);
        assert_eq!(output_format(b"SELECT format FROM t"), None);
        assert_eq!(output_format(b"SELECT format FROM t FORMAT CSV -- c"), Some("CSV"));
    }

    #[test]
    fn the_file_clause_is_put_after_the_other_clauses() {
        let cases = [
            ("SELECT 1", "SELECT 1>>"),
            ("SELECT 1 -- c", "SELECT 1>> -- c"),
            ("SELECT 1; ; -- c", "SELECT 1>>; ; -- c"),
            ("(SELECT 1) FORMAT JSON;", "(SELECT 1) >>FORMAT JSON;"),
            ("SELECT format FROM t SETTINGS a = 1", "SELECT format FROM t SETTINGS a = 1>>"),
            ("SELECT 1 FORMAT CSV SETTINGS a = 1", "SELECT 1 >>FORMAT CSV SETTINGS a = 1"),
        ];
        for (text, expected) in cases {
            let expected = expected.replace(">>", " INTO OUTFILE '/dev/fd/3' APPEND COMPRESSION 'none' ");
            assert_eq!(String::from_utf8(into_file(text.as_bytes(), "/dev/fd/3")).unwrap(), expected);
        }
    }

    #[test]
    fn files_of_the_client_are_found() {
        assert_eq!(client_file(b"SELECT 1 INTO OUTFILE 'x'"), Some(ClientFile::Outfile));
        assert_eq!(client_file(b"INSERT INTO t FROM INFILE 'x' FORMAT CSV"), Some(ClientFile::Infile));
        assert_eq!(client_file(b"SELECT 'INTO OUTFILE', infile FROM t"), None);
    }

    #[test]
    fn an_insert_from_input_is_found() {
        assert!(inserts_from_input(b"INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV\n1"));
        assert!(inserts_from_input(
            b"WITH 1 AS n INSERT INTO t SELECT a + n FROM Input ('a UInt8') FORMAT CSV"
        ));
        assert!(!inserts_from_input(b"INSERT INTO t SELECT input FROM u"));
        assert!(!inserts_from_input(b"SELECT 'INSERT', input(1)"));
    }

    #[test]
    fn hints_are_disarmed_in_comments_only() {
        let mut text = b"SELECT '-- { x }' -- { serverError 60 }\n/* { y } */".to_vec();
        disarm_hints(&mut text);
        assert_eq!(text, b"SELECT '-- { x }' --   serverError 60 }\n/*   y } */");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n$'`\"/*#(){};]{0,60}") {
            let mut bytes = text.into_bytes();
            let _ = (shape(&bytes), output_format(&bytes), client_file(&bytes));
            disarm_hints(&mut bytes);
        }
    }
}
