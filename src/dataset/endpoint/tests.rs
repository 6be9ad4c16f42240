use std::time::Duration;

use proptest::prelude::*;

use super::path::check_paths;
use super::*;

fn file(text: &str) -> SqlFile {
    SqlFile {
        path: "queries/prices/endpoints/ohlc.sql".to_owned(),
        name: "ohlc".to_owned(),
        text: text.to_owned(),
    }
}

const OHLC: &str = "-- Open, high, low and close of a pair, by minute, hour or day.
-- path: /prices/ohlc                    alias in addition to /datasets/prices/ohlc
-- path: /ohlc/{base}
-- param base   required                 Currency that is priced, such as BTC
-- param from                            Start (inclusive)
-- param limit  default=500 max=1000     Number of candles
-- page: time, open desc                 keyset cursor over these columns
-- cache: 1s
-- plot: candles x=time open high low close
SELECT time, min(o) AS open, max(h) AS high, min(l) AS low, max(c) AS close
FROM candles
WHERE base = {base:String} AND time >= coalesce({from:Nullable(DateTime64(3, 'UTC'))}, now64())
GROUP BY time;
";

#[test]
fn an_endpoint_is_what_its_file_says() {
    let endpoint = Endpoint::parse(&file(OHLC)).unwrap();
    assert_eq!(endpoint.title, "Open, high, low and close of a pair, by minute, hour or day");
    let paths: Vec<String> = endpoint.aliases.iter().map(Alias::path).collect();
    assert_eq!(paths, ["/prices/ohlc", "/ohlc/{base}"]);
    assert!(endpoint.aliases[1].has("base") && !endpoint.aliases[0].has("base"));
    let names: Vec<&str> = endpoint.parameters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["base", "from", "limit"]);
    assert!(endpoint.parameters[0].is_required && !endpoint.parameters[2].is_bound);
    let columns = endpoint.page.as_ref().unwrap().columns.clone();
    assert_eq!(
        columns.iter().map(|one| (one.name.as_str(), one.is_descending)).collect::<Vec<_>>(),
        [("time", false), ("open", true)]
    );
    assert_eq!((endpoint.cache, endpoint.answer), (Some(Duration::from_secs(1)), Answer::List));
    assert_eq!(endpoint.plot.as_ref().unwrap().y, ["open", "high", "low", "close"]);
    assert!(endpoint.statement.starts_with("SELECT time") && endpoint.statement.ends_with("GROUP BY time"));
    assert_eq!(endpoint.statement_line, 10);
}

#[test]
fn the_limit_of_pages_needs_no_line() {
    let endpoint = Endpoint::parse(&file("-- A\n-- page: a\nSELECT a FROM t")).unwrap();
    let [limit] = endpoint.parameters.as_slice() else { panic!("{endpoint:?}") };
    assert_eq!(limit.expected(), "a whole number from 1 to 10000");
    assert_eq!(limit.default.as_deref(), Some("100"));
}

#[test]
fn each_mistake_has_its_line_and_says_what_to_do() {
    for (text, line, message) in [
        ("SELECT 1", 1, "begin with a comment"),
        ("-- A\n-- title: x\nSELECT 1", 2, "unknown directive title; use one of path, param"),
        ("-- A\n-- params a x\nSELECT 1", 2, "unknown directive params"),
        ("-- A\n-- param a required x\nSELECT 1", 2, "no placeholder {a:Type}; add it"),
        ("-- A\nSELECT\n{a:String}", 3, "placeholder a has no description; add a line -- param a"),
        ("-- A\n-- param a required x\nSELECT {a:Text}", 3, "unknown type Text"),
        ("-- A\n-- param a required\nSELECT {a:String}", 2, "parameter a has no description"),
        ("-- A\n-- param a default=x x\nSELECT {a:UInt8}", 2, "the default \"x\" is invalid"),
        ("-- A\n-- param a default=9 max=5 x\nSELECT {a:UInt8}", 2, "at most 5"),
        ("-- A\n-- param a required default=9 x\nSELECT {a:UInt8}", 2, "required and has a default"),
        ("-- A\n-- param a required x\n-- param a required x\nSELECT {a:UInt8}", 3, "two lines"),
        (
            "-- A\n-- param format required x\nSELECT {format:String}",
            2,
            "every endpoint has a parameter format",
        ),
        ("-- A\n-- page: b\nSELECT a FROM t", 2, "no column b; use one of a"),
        ("-- A\n-- page: a up\nSELECT a FROM t", 2, "only asc or desc may follow"),
        ("-- A\n-- page: a,\nSELECT a FROM t", 2, "\"\" is not a column"),
        ("-- A\n-- page: a, a desc\nSELECT a FROM t", 2, "names a twice"),
        ("-- A\n-- page: a\n-- page: a\nSELECT a FROM t", 3, "only once"),
        ("-- A\n-- page: a\nSELECT a FROM t\nLIMIT 5", 4, "remove LIMIT"),
        (
            "-- A\n-- page: a\n-- param limit default=5 x\nSELECT a FROM t WHERE b < {limit:UInt8}",
            4,
            "another name",
        ),
        ("-- A\n-- page: a\n-- param limit default=5 max=20000 x\nSELECT a FROM t", 3, "1 to 10000 rows"),
        ("-- A\n-- cache: 1\nSELECT 1", 2, "a time such as 500ms"),
        ("-- A\n-- cache: 0s\nSELECT 1", 2, "a time such as 500ms"),
        ("-- A\n-- cache: 25h\nSELECT 1", 2, "at most 24h"),
        ("-- A\n-- answer: two\nSELECT 1", 2, "the only value of answer is one"),
        ("-- A\n-- answer: one\n-- page: a\nSELECT a FROM t", 3, "remove page"),
        ("-- A\n-- answer: one\n-- plot: line x=a y=b\nSELECT a, b FROM t", 3, "remove plot"),
        ("-- A\n-- plot: line x=a y=c\nSELECT a, b FROM t", 2, "no column c; use one of a, b"),
        ("-- A\n-- plot: pie\nSELECT a, b FROM t", 2, "unknown plot"),
        ("-- A\n-- path: a\nSELECT 1", 2, "must begin with /"),
        ("-- A\n-- path: /{a}\nSELECT 1", 2, "which is no parameter"),
        ("-- A\n-- path: /{a}\n-- param a required x\nSELECT {a:String}", 2, "must begin with a word"),
        ("-- A\n-- path: /x/{a}\n-- param a x\nSELECT {a:Array(String)}", 2, "cannot be part of a path"),
        ("-- A\n-- path: /a/../b\nSELECT 1", 2, "change \"..\""),
        ("-- A\n-- path: /a?b\nSELECT 1", 2, "change \"a?b\""),
        ("-- A\n-- cache: 1s\ntext", 3, "begin with SELECT or WITH"),
        ("-- A\n-- cache: 1s\n-- more text\nSELECT 1", 3, "text follows a directive"),
        ("-- A\nSELECT 1;\nSELECT 2", 3, "one statement"),
        ("-- A\nDROP TABLE t", 2, "begin with SELECT or WITH"),
        ("-- A", 1, "no statement"),
    ] {
        let fault = Endpoint::parse(&file(text)).unwrap_err();
        assert!(fault.message.contains(message), "{text}\n{fault}");
        assert_eq!(fault.line, line, "{text}\n{fault}");
        assert!(
            fault.message.contains(';')
                || fault.message.contains("must")
                || fault.message.contains("such as"),
            "{fault}"
        );
    }
    let named = |name: &str| Endpoint::parse(&SqlFile { name: name.to_owned(), ..file("-- A\nSELECT 1") });
    assert!(named("rows").unwrap_err().message.contains("every dataset has rows"));
    assert!(named("By-Day").unwrap_err().message.contains("lower case letters"));
}

#[test]
fn two_endpoints_cannot_have_the_same_path() {
    let endpoint = |path: &str, text: &str| {
        let text = format!("-- A\n-- path: {path}\n-- param a required x\n{text} {{a:String}}");
        Endpoint::parse(&file(&text)).unwrap()
    };
    let [one, other, third] = ["/x/{a}", "/x/{a}", "/x/y"].map(|path| endpoint(path, "SELECT"));
    assert!(check_paths([&one, &third], &["uploads"]).is_ok());
    let fault = check_paths([&one, &third, &other], &[]).unwrap_err();
    assert!(fault.line == 2 && fault.message.contains("is also that of queries/prices"), "{fault}");
    assert!(check_paths([&one], &["x"]).unwrap_err().message.contains("the server has paths below /x"));
}

#[test]
fn page_columns_must_have_a_place_in_the_order() {
    let endpoint =
        Endpoint::parse(&file("-- A\n-- page: a\n-- plot: line x=a y=b\nSELECT * FROM t")).unwrap();
    let check = |kind: &str, other: &str| {
        let columns = [("a".to_owned(), Type::parse(kind).unwrap()), (other.to_owned(), Type::String)];
        endpoint.check_columns(&columns).map_err(|fault| fault.to_string())
    };
    for kind in ["UInt64", "LowCardinality(String)", "DateTime64(3, 'UTC')", "Decimal(9, 2)", "UUID"] {
        assert_eq!(check(kind, "b"), Ok(()));
    }
    assert!(
        check("Nullable(UInt64)", "b").unwrap_err().contains("ohlc.sql:2: the column a of page is Nullable")
    );
    assert!(check("LowCardinality(Nullable(String))", "b").unwrap_err().contains("Nullable"));
    assert!(check("Float64", "b").unwrap_err().contains("has the type Float64; use"));
    assert!(
        check("UInt64", "c").unwrap_err().contains("ohlc.sql:3: the SELECT has no column b; use one of a, c")
    );
}

proptest! {
    #[test]
    fn any_text_is_an_endpoint_or_a_fault(
        text in "(-- [a-z:=/{} ]{0,30}\n){0,4}(SELECT|WITH|[a-z])?[ a-z{}:,;()'\"`*\u{e9}]{0,40}",
    ) {
        let lines = text.lines().count().max(1);
        match Endpoint::parse(&file(&text)) {
            Ok(endpoint) => prop_assert!(text.contains(&endpoint.statement)),
            Err(fault) => prop_assert!(fault.line <= lines + 1 && !fault.message.is_empty()),
        }
    }

    #[test]
    fn a_file_that_is_changed_anywhere_is_an_endpoint_or_a_fault(at in 0..OHLC.len(), letter: char) {
        let mut text = OHLC.to_owned();
        text.insert(at, letter);
        let _ = Endpoint::parse(&file(&text));
        text.truncate(at);
        let _ = Endpoint::parse(&file(&text));
    }
}

#[test]
fn a_check_has_no_parameters_and_says_how_many_rows_it_expects() {
    for (text, expected) in [
        ("-- A\nSELECT 1 AS a", Expectation::Any),
        ("-- A\n-- Why.\n-- expect: no rows   each is a fault\nSELECT 1 AS a", Expectation::NoRows),
        ("-- A\n-- expect: rows\nWITH 1 AS b SELECT b;\n", Expectation::Rows),
    ] {
        let check = Endpoint::parse_check(&file(text)).unwrap();
        assert_eq!((check.check, check.title.as_str()), (Some(expected), "A"), "{text}");
    }
    assert_eq!(
        [Expectation::Any, Expectation::NoRows, Expectation::Rows]
            .map(|one| (one.is_met(true), one.is_met(false))),
        [(None, None), (Some(false), Some(true)), (Some(true), Some(false))]
    );
    for (text, line, message) in [
        ("-- A\n-- expect: nothing\nSELECT 1", 2, "expect is no rows, or rows, not \"nothing\""),
        ("-- A\n-- expect: rows\n-- expect: rows\nSELECT 1", 3, "expect may be given only once"),
        ("-- A\n-- cache: 1s\nSELECT 1", 2, "unknown directive cache; use one of expect"),
        (
            "-- A\nSELECT\n    {a:UInt8}",
            3,
            "a check has no parameters; write a value instead of the placeholder a",
        ),
        ("SELECT 1", 1, "begin with a comment"),
    ] {
        let fault = Endpoint::parse_check(&file(text)).unwrap_err();
        assert_eq!(fault.line, line, "{text}");
        assert!(fault.message.contains(message), "{fault}");
    }
    // An endpoint expects nothing.
    let fault = Endpoint::parse(&file("-- A\n-- expect: rows\nSELECT 1")).unwrap_err();
    assert!(fault.message.contains("unknown directive expect"), "{fault}");
}
