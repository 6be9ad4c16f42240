//! Fills in the placeholders of the statements in `queries/engine`. They are comments, so that the files stay SQL that people can read:
//!
//! - `/* table */`: a name.
//! - `/* each field: $name $type */`: the text for each column of a list, with a comma between.
//! - `/* each key and: a.$name = b.$name */`: with AND between, and `true` for an empty list. The same with `or`, and `false`.
//! - `/* each prefix: $name, */`: with the comma at the end of each, also of the last.
//! - `/* each value: f($name, $(table)) */`: with a name in each text.
//!
//! `$name` is the column's name, without quotes: a template writes `` `file_$name` ``. `$type` is its ClickHouse type, `$sent` that without
//! LowCardinality, and `$plain` that without Nullable. Other comments stay.

use std::borrow::Cow;

/// A column of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    /// Its ClickHouse type.
    pub kind: String,
}

impl Item {
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }

    /// Fills in a text for this column.
    fn fill(&self, text: &str) -> String {
        let sent = inside(&self.kind, "LowCardinality");
        let plain = inside(sent, "Nullable");
        [("$name", self.name.as_str()), ("$type", &self.kind), ("$sent", sent), ("$plain", plain)]
            .iter()
            .fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value))
    }
}

/// Returns the type in the brackets of another one, or the type itself.
pub fn inside<'a>(kind: &'a str, outer: &str) -> &'a str {
    let inner = kind.strip_prefix(outer).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    inner.unwrap_or(kind)
}

/// What placeholders stand for.
#[derive(Clone, Debug, Default)]
pub struct Template {
    names: Vec<(&'static str, String)>,
    lists: Vec<(&'static str, Vec<Item>)>,
}

impl Template {
    /// Gives `/* placeholder */` a name, in place of the one that it has.
    #[must_use]
    pub fn with(mut self, placeholder: &'static str, name: impl Into<String>) -> Self {
        self.names.retain(|(known, _)| *known != placeholder);
        self.names.push((placeholder, name.into()));
        self
    }

    /// Gives `/* each list: … */` its columns, in place of those that it has.
    #[must_use]
    pub fn list(mut self, list: &'static str, columns: impl IntoIterator<Item = Item>) -> Self {
        self.lists.retain(|(name, _)| *name != list);
        self.lists.push((list, columns.into_iter().collect()));
        self
    }

    /// Fills in a statement.
    pub fn fill(&self, statement: &str) -> String {
        let mut filled = String::with_capacity(statement.len() * 2);
        let mut rest = statement;
        while let Some((before, comment, after)) = next_comment(rest) {
            filled.push_str(before);
            filled.push_str(&self.comment(comment.trim()).unwrap_or(Cow::Owned(format!("/*{comment}*/"))));
            rest = after;
        }
        filled + rest
    }

    /// Returns what a comment stands for, if it is a placeholder.
    fn comment(&self, comment: &str) -> Option<Cow<'_, str>> {
        if let Some((head, text)) = comment.strip_prefix("each ").and_then(|each| each.split_once(':')) {
            let (list, word) = head.split_once(' ').unwrap_or((head, ""));
            let (_, columns) = self.lists.iter().find(|(name, _)| *name == list)?;
            return Some(Cow::Owned(self.named(each(columns, word, text.trim()))));
        }
        let (_, name) = self.names.iter().find(|(placeholder, _)| *placeholder == comment)?;
        Some(Cow::Borrowed(name))
    }
}

impl Template {
    /// Fills in the names in the text of a list, where they are `$(placeholder)`.
    fn named(&self, text: String) -> String {
        if !text.contains("$(") {
            return text;
        }
        self.names.iter().fold(text, |text, (name, value)| text.replace(&format!("$({name})"), value))
    }
}

fn each(columns: &[Item], word: &str, text: &str) -> String {
    let (between, none) = match word {
        "and" => (" AND ", "true"),
        "or" => (" OR ", "false"),
        _ if text.ends_with(',') => (" ", ""),
        _ => (", ", ""),
    };
    let filled = columns.iter().map(|item| item.fill(text)).collect::<Vec<_>>().join(between);
    if filled.is_empty() { none.to_owned() } else { filled }
}

/// Returns the text before the next comment, the text in it, and the text after it.
fn next_comment(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("/*")?;
    let (comment, after) = rest.split_once("*/")?;
    Some((before, comment, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(statement: &str) -> String {
        let item = |(name, kind): (&str, &str)| Item::new(name, kind);
        Template::default()
            .with("table", "trades")
            .list("key", [("symbol", "String"), ("id", "UInt64")].map(item))
            .list("none", [])
            .list(
                "value",
                [("side", "LowCardinality(Nullable(String))"), ("price", "Decimal(9, 2)")].map(item),
            )
            .fill(statement)
    }

    #[test]
    fn placeholders_are_filled_in_and_other_comments_stay() {
        for (statement, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("FROM /* table */ /* fence */", "FROM trades /* fence */"),
            ("(/* each key: `file_$name` $type */)", "(`file_symbol` String, `file_id` UInt64)"),
            ("ON /* each key and: a.$name = b.$name */", "ON a.symbol = b.symbol AND a.id = b.id"),
            ("WHERE /* each key or:\n  $name = 1 */;", "WHERE symbol = 1 OR id = 1;"),
            ("SELECT /* each key: $name, */ line", "SELECT symbol, id, line"),
            ("SELECT /* each none: $name, */ line", "SELECT  line"),
            ("WHERE /* each none and: $name */ /* each none or: $name */", "WHERE true false"),
            ("/* each other: $name */ /* open", "/* each other: $name */ /* open"),
            ("/* each key: $name of $(table) */", "symbol of trades, id of trades"),
            ("/* each value: $name $sent */", "side Nullable(String), price Decimal(9, 2)"),
            ("/* each value: Nullable($plain) */", "Nullable(String), Nullable(Decimal(9, 2))"),
        ] {
            assert_eq!(filled(statement), expected);
        }
    }
}
