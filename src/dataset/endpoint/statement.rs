//! The statement of an endpoint: its placeholders, and the columns that its SELECT names.

use roundhouse_sql::{Token, Tokens};

use super::types::Type;

/// A mistake, at a byte of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub byte: usize,
    pub message: String,
}

impl Mistake {
    pub(super) fn new(byte: usize, message: impl Into<String>) -> Self {
        Self { byte, message: message.into() }
    }
}

/// A `{name:Type}` in the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    pub name: String,
    pub kind: Type,
    pub byte: usize,
}

/// A SELECT, as far as it can be read without ClickHouse.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// Where it begins and ends in the file, without the semicolon.
    pub start: usize,
    pub end: usize,
    pub placeholders: Vec<Placeholder>,
    /// The names of its columns. None if only ClickHouse knows them: `SELECT *`.
    pub columns: Option<Vec<String>>,
    /// The position of a LIMIT of the whole statement.
    pub limit: Option<usize>,
}

/// What ends the list of columns.
const AFTER_COLUMNS: [&[u8]; 12] = [
    b"FROM",
    b"WHERE",
    b"PREWHERE",
    b"GROUP",
    b"ORDER",
    b"HAVING",
    b"LIMIT",
    b"UNION",
    b"INTERSECT",
    b"EXCEPT",
    b"SETTINGS",
    b"WINDOW",
];

impl Statement {
    /// Reads the statement in a file.
    ///
    /// # Errors
    /// It is not one SELECT, or a placeholder is malformed.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let tokens: Vec<Token<'_>> = Tokens::new(text.as_bytes()).collect();
        let (statement, rest) = match tokens.iter().position(|token| token.is(b";")) {
            Some(at) => tokens.split_at(at),
            None => (tokens.as_slice(), &[][..]),
        };
        let Some((first, last)) = statement.first().zip(statement.last()) else {
            return Err(Mistake::new(
                text.len(),
                "the file has no statement; add a SELECT after the comment",
            ));
        };
        if let Some(more) = rest.iter().find(|token| !token.is(b";")) {
            return Err(Mistake::new(
                more.start,
                "an endpoint has one statement; put a further one into a file of its own",
            ));
        }
        let begins =
            |word: &[u8]| statement.iter().find(|token| !token.is(b"(")).is_some_and(|first| first.is(word));
        if !begins(b"SELECT") && !begins(b"WITH") {
            return Err(Mistake::new(first.start, "an endpoint only reads; begin with SELECT or WITH"));
        }
        if let Some(bracket) = unbalanced(statement) {
            return Err(Mistake::new(bracket, "a bracket has no counterpart; check the brackets"));
        }
        let top: Vec<&Token<'_>> = statement.iter().filter(|token| token.depth == 0).collect();
        check_words(&top)?;
        Ok(Self {
            start: first.start,
            end: last.end,
            placeholders: placeholders(text, statement)?,
            columns: columns(text, statement),
            limit: limit(&top),
        })
    }
}

/// Returns the position of a bracket that is not closed, or closes nothing.
fn unbalanced(tokens: &[Token<'_>]) -> Option<usize> {
    let mut open: Vec<(usize, u8)> = Vec::new();
    for token in tokens {
        match token.text {
            b"(" => open.push((token.start, b')')),
            b"[" => open.push((token.start, b']')),
            b"{" => open.push((token.start, b'}')),
            [close @ (b')' | b']' | b'}')] => match open.pop() {
                Some((_, expected)) if expected == *close => {}
                _ => return Some(token.start),
            },
            _ => {}
        }
    }
    open.pop().map(|(start, _)| start)
}

/// Refuses what an endpoint leaves to the server.
fn check_words(top: &[&Token<'_>]) -> Result<(), Mistake> {
    for (at, token) in top.iter().enumerate().filter(|(_, token)| token.word) {
        let (next, after) = (top.get(at + 1), top.get(at + 2));
        let is_next = |word: &[u8]| next.is_some_and(|next| next.word && next.is(word));
        let ends = after.is_none_or(|after| after.is(b"SETTINGS"));
        // A column may have the name `format`: `ORDER BY format DESC`.
        let is_format = ends && next.is_some_and(|next| next.word) && !is_next(b"DESC") && !is_next(b"ASC");
        let message = if token.is(b"FORMAT") && is_format {
            "the request chooses the format; remove FORMAT"
        } else if token.is(b"INTO") && is_next(b"OUTFILE") {
            "an endpoint writes no file; remove INTO OUTFILE"
        } else if token.is(b"INSERT") && is_next(b"INTO") {
            "an endpoint only reads; begin with SELECT or WITH"
        } else {
            continue;
        };
        return Err(Mistake::new(token.start, message));
    }
    Ok(())
}

/// Returns the position of a LIMIT of the whole statement. `LIMIT n BY column` limits something else.
fn limit(top: &[&Token<'_>]) -> Option<usize> {
    let from = top.iter().position(|token| token.word && token.is(b"FROM")).unwrap_or(0);
    let mut words = top.iter().skip(from).filter(|token| token.word);
    while let Some(word) = words.next() {
        let follows = |by: &[u8]| matches!(words.clone().next(), Some(next) if next.is(by));
        if word.is(b"LIMIT") && !follows(b"BY") {
            return Some(word.start);
        }
    }
    None
}

/// Finds each `{name:Type}`.
fn placeholders(text: &str, tokens: &[Token<'_>]) -> Result<Vec<Placeholder>, Mistake> {
    let mut found: Vec<Placeholder> = Vec::new();
    let opening = tokens.iter().enumerate().filter(|(_, token)| token.is(b"{"));
    for (at, open) in opening {
        let malformed = || {
            Mistake::new(open.start, "a placeholder is malformed; write {name:Type}, such as {base:String}")
        };
        let (name, colon) = tokens.get(at + 1).zip(tokens.get(at + 2)).ok_or_else(malformed)?;
        let close = tokens.iter().skip(at).find(|token| token.is(b"}")).ok_or_else(malformed)?;
        if !name.word || !colon.is(b":") {
            return Err(malformed());
        }
        let name = text.get(name.start..name.end).unwrap_or_default().to_owned();
        let kind = text.get(colon.end..close.start).unwrap_or_default().trim();
        let wrong = |error: String| Mistake::new(open.start, format!("placeholder {name}: {error}"));
        let kind = Type::parse(kind).map_err(wrong)?;
        kind.check_parameter().map_err(wrong)?;
        match found.iter().find(|other| other.name == name) {
            Some(other) if other.kind != kind => {
                let message = format!(
                    "placeholder {name} has the type {kind} here and {} before; use one type",
                    other.kind
                );
                return Err(Mistake::new(open.start, message));
            }
            Some(_) => {}
            None => found.push(Placeholder { name, kind, byte: open.start }),
        }
    }
    Ok(found)
}

/// Returns the names of the columns. None if the text does not say all of them.
fn columns(text: &str, tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let select = tokens.iter().position(|token| token.depth == 0 && token.word && token.is(b"SELECT"))?;
    let list = tokens.get(select + 1..)?;
    let list = match list.first() {
        Some(first) if first.word && first.is(b"DISTINCT") => list.get(1..)?,
        _ => list,
    };
    let is_end =
        |token: &Token<'_>| token.depth == 0 && token.word && AFTER_COLUMNS.iter().any(|word| token.is(word));
    let end = list.iter().position(is_end).unwrap_or(list.len());
    let items = list.get(..end)?.split(|token| token.depth == 0 && token.is(b","));
    items.map(|item| name(text, item)).collect()
}

/// Returns the name of a column: after AS, of a column, or the text of the expression.
fn name(text: &str, item: &[Token<'_>]) -> Option<String> {
    let (first, last) = item.first().zip(item.last())?;
    let is_quoted = last.is_quoted_name();
    // `*`, `t.*` and `COLUMNS('a.*')` stand for several.
    if last.is(b"*") || item.iter().any(|token| token.is(b"COLUMNS") || token.is(b"APPLY")) {
        return None;
    }
    if last.word || is_quoted {
        return Some(last.unquoted());
    }
    text.get(first.start..last.end).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Statement {
        Statement::parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"))
    }

    #[test]
    fn a_statement_is_one_select() {
        for text in [
            "SELECT 1",
            "-- comment; with a semicolon\nSELECT ';' AS a; -- end",
            "WITH a AS (SELECT 1 AS x) SELECT x FROM a;;",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "SELECT format, 1 AS insert FROM t WHERE t.format = 'x' ORDER BY format",
            "SELECT if(a > 1 ? 1 : 2, [1][1], {a:UInt8})",
        ] {
            parsed(text);
        }
        for (text, byte, message) in [
            ("", 0, "no statement"),
            ("-- only a comment", 17, "no statement"),
            ("SELECT 1; SELECT 2", 10, "one statement"),
            ("INSERT INTO t SELECT 1", 0, "only reads"),
            ("WITH a AS (SELECT 1) INSERT INTO t SELECT 1", 21, "only reads"),
            ("DROP TABLE t", 0, "only reads"),
            ("SELECT 1 FORMAT JSON", 9, "remove FORMAT"),
            ("SELECT 1 INTO OUTFILE 'x'", 9, "remove INTO OUTFILE"),
            ("SELECT (1", 7, "no counterpart"),
            ("SELECT 1)", 8, "no counterpart"),
            ("SELECT (1]", 9, "no counterpart"),
        ] {
            let mistake = Statement::parse(text).unwrap_err();
            assert_eq!(mistake.byte, byte, "{text}");
            assert!(mistake.message.contains(message), "{text}: {}", mistake.message);
        }
    }

    #[test]
    fn placeholders_have_a_name_and_a_type() {
        let statement =
            parsed("SELECT {a:UInt8}, '{b:String}', { c : Array(Tuple(String, UInt8)) }, {a:UInt8} -- {d:X}");
        let found: Vec<String> =
            statement.placeholders.iter().map(|one| format!("{}:{}", one.name, one.kind)).collect();
        assert_eq!(found, ["a:UInt8", "c:Array(Tuple(String, UInt8))"]);
        for (text, message) in [
            ("SELECT {a}", "malformed"),
            ("SELECT {:UInt8}", "malformed"),
            ("SELECT {a:}", "a type is missing"),
            ("SELECT {a:Strin}", "unknown type Strin"),
            ("SELECT {a:Identifier}", "unknown type Identifier"),
            ("SELECT {a:DateTime}", "write DateTime('UTC')"),
            ("SELECT {a:UInt8}, {a:UInt16}", "use one type"),
        ] {
            let mistake = Statement::parse(text).unwrap_err();
            assert!(mistake.message.contains(message), "{text}: {}", mistake.message);
        }
    }

    #[test]
    fn columns_are_named_where_the_text_says_them() {
        for (text, columns) in [
            ("SELECT a, t.b, c AS d, `e f`, g h FROM t", Some(vec!["a", "b", "d", "e f", "h"])),
            ("WITH x AS (SELECT z FROM t) SELECT DISTINCT y FROM x", Some(vec!["y"])),
            ("SELECT count(), max(a) AS b WHERE 1", Some(vec!["count()", "b"])),
            ("SELECT (SELECT a FROM b) AS c, (1, 2).1 AS d", Some(vec!["c", "d"])),
            ("SELECT * FROM t", None),
            ("SELECT a, t.* FROM t", None),
            ("SELECT COLUMNS('a') FROM t", None),
            ("(SELECT a FROM t)", None),
        ] {
            let named = parsed(text).columns;
            assert_eq!(named, columns.map(|names| names.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn a_limit_of_the_whole_statement_is_found() {
        for (text, is_limited) in [
            ("SELECT a FROM t LIMIT 5", true),
            ("SELECT a FROM t LIMIT {limit:UInt32}", true),
            ("SELECT a FROM t ORDER BY a LIMIT 1 BY a LIMIT 5", true),
            ("SELECT a FROM t ORDER BY a LIMIT 1 BY a", false),
            ("SELECT a FROM (SELECT a FROM t LIMIT 5)", false),
        ] {
            assert_eq!(parsed(text).limit.is_some(), is_limited, "{text}");
        }
    }
}
