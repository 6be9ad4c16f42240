//! Names of columns: what a file calls them, as identifiers.

use std::collections::{HashMap, HashSet};

/// Characters of a name. Other names are made of it.
const MAX_CHARACTERS: usize = 40;

/// Names of columns that the engine adds to tables and files.
const TAKEN: [&str; 5] = ["kafka_epoch", "kafka_partition", "kafka_offset", "recounted", "reject_line"];

/// Words of SQL that are no names unless they are quoted.
const KEYWORDS: [&str; 72] = [
    "all",
    "alter",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "asof",
    "between",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "constraint",
    "create",
    "cross",
    "cube",
    "current",
    "database",
    "date",
    "default",
    "desc",
    "describe",
    "distinct",
    "div",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "final",
    "first",
    "for",
    "format",
    "from",
    "full",
    "global",
    "group",
    "having",
    "if",
    "in",
    "index",
    "inf",
    "inner",
    "insert",
    "interval",
    "into",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "nan",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "select",
    "settings",
    "then",
    "timestamp",
    "true",
    "union",
    "using",
    "when",
    "where",
];

/// Letters that are written with others.
const LETTERS: [(&str, &str); 20] = [
    ("ä", "ae"),
    ("ö", "oe"),
    ("ü", "ue"),
    ("ß", "ss"),
    ("æ", "ae"),
    ("ø", "oe"),
    ("å", "aa"),
    ("œ", "oe"),
    ("àáâã", "a"),
    ("çćč", "c"),
    ("ďđð", "d"),
    ("èéêëěę", "e"),
    ("ìíîïİı", "i"),
    ("łľ", "l"),
    ("ñńň", "n"),
    ("òóôõ", "o"),
    ("řŕ", "r"),
    ("śšş", "s"),
    ("ùúûů", "u"),
    ("ýÿžźż", "y"),
];

/// Returns an identifier for each name, in lower case. No two are equal, and none is what a file calls another column.
pub(super) fn identifiers(originals: &[String]) -> Vec<String> {
    let mut used: HashSet<String> = TAKEN.map(str::to_owned).into();
    let plain = |name: &String| name.trim().to_lowercase();
    let called: HashSet<String> = originals.iter().map(plain).collect();
    // Names that are identifiers already stay, each for its first column.
    let mut kept: HashMap<String, usize> = HashMap::new();
    for (at, name) in originals.iter().enumerate() {
        if identifier(name) == plain(name) && !TAKEN.contains(&plain(name).as_str()) {
            kept.entry(plain(name)).or_insert(at);
        }
    }
    used.extend(kept.keys().cloned());
    let mut names = Vec::with_capacity(originals.len());
    for (at, original) in originals.iter().enumerate() {
        if kept.get(&plain(original)) == Some(&at) {
            names.push(plain(original));
            continue;
        }
        let name = identifier(original);
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let is_free =
            |one: &String| !used.contains(one) && (!called.contains(one) || *one == plain(original));
        let free = std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name);
        used.insert(free.clone());
        names.push(free);
    }
    names
}

/// Returns a name of lower case letters, digits and _, first a letter. `timestampInMs` becomes `timestamp_in_ms`.
pub(super) fn identifier(original: &str) -> String {
    let mut name = String::new();
    let mut before_was_lower = false;
    for letter in original.trim().chars() {
        if letter.is_uppercase() && before_was_lower {
            name.push('_');
        }
        before_was_lower = letter.is_lowercase() || letter.is_ascii_digit();
        for letter in letter.to_lowercase() {
            match LETTERS.iter().find(|(known, _)| known.contains(letter)) {
                Some((_, plain)) => name.push_str(plain),
                None if letter.is_ascii_alphanumeric() => name.push(letter),
                None if name.is_empty() || name.ends_with('_') => {}
                None => name.push('_'),
            }
        }
    }
    let name: String = name.chars().take(MAX_CHARACTERS).collect();
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "column".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("c_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// Returns a name that is not among others.
pub(super) fn free_name(name: &str, taken: &[&str]) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let mut all = std::iter::once(name.to_owned()).chain(numbered);
    all.find(|one| !taken.contains(&one.as_str())).unwrap_or_else(|| name.to_owned())
}

/// Writes a name in SQL, in quotes if it is a word of SQL.
pub(super) fn quoted(name: &str) -> String {
    if KEYWORDS.contains(&name) { format!("`{name}`") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_calls_a_column_becomes_an_identifier() {
        for (original, expected) in [
            ("Amount", "amount"),
            (" Größe (m²) ", "groesse_m"),
            ("timestampInMs", "timestamp_in_ms"),
            ("baseVolumeLast24h", "base_volume_last24h"),
            ("ID", "id"),
            ("2nd price", "c_2nd_price"),
            ("日本", "column"),
            ("a--b__c", "a_b_c"),
            ("Straße/Nr.", "strasse_nr"),
        ] {
            assert_eq!(identifier(original), expected, "{original}");
        }
        assert_eq!((quoted("from"), quoted("amount")), ("`from`".to_owned(), "amount".to_owned()));
    }

    #[test]
    fn identifiers_are_different_and_none_is_another_columns_name() {
        let names = |originals: &[&str]| {
            identifiers(&originals.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(names(&["A b", "a_b", "a-b"]), ["a_b_2", "a_b", "a_b_3"]);
        assert_eq!(
            names(&["Größe", "Groesse", "recounted", "Recounted 2"]),
            ["groesse_2", "groesse", "recounted_2", "recounted_2_2"]
        );
        assert_eq!(names(&["x", "X", "y"]), ["x", "x_2", "y"]);
        assert_eq!(names(&["A b", "A_B 2", "a_b_2"]), ["a_b", "a_b_2_2", "a_b_2"]);
        assert_eq!(names(&["日", "月"]), ["column", "column_2"]);
        let long = "x".repeat(90);
        assert_eq!(names(&[&long]), ["x".repeat(40)]);
        assert_eq!(free_name("rows", &["rows", "rows_2"]), "rows_3");
    }
}
