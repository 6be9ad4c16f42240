//! The Avro schema.

use std::fmt::Write;

use serde_json::json;

use crate::counted::counted;
use crate::domain::columns::pointer::escaped;
use crate::guess::kind::Guessed;
use crate::guess::{Guess, GuessedColumn};

/// Fields that the server fills in.
const FILLED: [(&str, &str); 2] = [
    (
        "upload_id",
        r#"{ "name": "upload_id", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id", "doc": "The upload that the row came with" }"#,
    ),
    (
        "line",
        r#"{ "name": "line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1, "doc": "Number of its line in the uploaded file" }"#,
    ),
];

impl Guess {
    pub(in crate::guess) fn schema(&self) -> String {
        let mut record = String::from("{\n  \"type\": \"record\",\n");
        // Writing to memory cannot fail.
        let _ = writeln!(record, "  \"name\": {},", json!(record_name(&self.name)));
        record += "  \"namespace\": \"roundhouse\",\n";
        let _ = writeln!(record, "  \"doc\": {},", json!(self.about()));
        if let Some(key) = self.key_name() {
            let _ = writeln!(record, "  \"key\": {},", json!(key));
        }
        let mut fields: Vec<String> = self.columns.iter().map(field).collect();
        if let Some(name) = self.received_at() {
            fields.push(format!(
                "{{ \"name\": {}, \"type\": {{ \"type\": \"long\", \"logicalType\": \"timestamp-millis\" }}, \"source\": \"received_at\", \"doc\": \"When the server received the row\" }}",
                json!(name)
            ));
        }
        let filled = FILLED.iter().filter(|(name, _)| self.has_filled(name));
        fields.extend(filled.map(|(_, field)| (*field).to_owned()));
        let _ = write!(record, "  \"fields\": [\n    {}\n  ]\n}}\n", fields.join(",\n    "));
        record
    }

    fn about(&self) -> String {
        let rows = counted(self.rows, "row");
        let key = match self.key_name() {
            Some(key) => format!(
                "The key is a guess: {key} is different in each of them. A row whose key is stored already is a duplicate, or a conflict. Remove `key` (and the column recounted of the table) if rows may have equal values."
            ),
            None => "There is no key: each message counts once, and a row that is sent twice is stored twice. If a whole number identifies a row, name it in `key` (see docs/SCHEMAS.md), and add a column recounted Bool to the table.".to_owned(),
        };
        format!(
            "Guessed from {rows} of {}. {key} The field order is the wire order. docs/SCHEMAS.md describes types and attributes.",
            self.file
        )
    }
}

fn field(column: &GuessedColumn) -> String {
    let mut parts = vec![format!("\"name\": {}", json!(column.name))];
    let kind = kind(column);
    parts.push(match column.is_nullable {
        true => format!("\"type\": [\"null\", {kind}], \"default\": null"),
        false => format!("\"type\": {kind}"),
    });
    match &column.kind {
        Guessed::Long { minimum: Some(least) } => parts.push(format!("\"minimum\": {least}")),
        Guessed::Text { has_lines: true } => parts.push("\"multiline\": true".to_owned()),
        _ => {}
    }
    if column.is_empty_null {
        parts.push("\"min_length\": 1".to_owned());
    }
    if column.has_path {
        let path: String = column.place.iter().map(|name| format!("/{}", escaped(name))).collect();
        parts.push(format!("\"path\": {}", json!(path)));
    } else if let [original] = column.place.as_slice()
        && *original != column.name
    {
        parts.push(format!("\"aliases\": [{}]", json!(original)));
    }
    parts.push(format!("\"doc\": {}", json!(doc(column))));
    format!("{{ {} }}", parts.join(", "))
}

fn kind(column: &GuessedColumn) -> String {
    match &column.kind {
        Guessed::Boolean => "\"boolean\"".to_owned(),
        Guessed::Long { .. } => "\"long\"".to_owned(),
        Guessed::Double => "\"double\"".to_owned(),
        Guessed::Text { .. } => "\"string\"".to_owned(),
        Guessed::Decimal { precision, scale } => format!(
            "{{ \"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": {precision}, \"scale\": {scale} }}"
        ),
        Guessed::Uuid => "{ \"type\": \"string\", \"logicalType\": \"uuid\" }".to_owned(),
        Guessed::Date => "{ \"type\": \"int\", \"logicalType\": \"date\" }".to_owned(),
        Guessed::Millis => "{ \"type\": \"long\", \"logicalType\": \"timestamp-millis\" }".to_owned(),
        Guessed::Micros => "{ \"type\": \"long\", \"logicalType\": \"timestamp-micros\" }".to_owned(),
        Guessed::Enum(symbols) => format!(
            "{{ \"type\": \"enum\", \"name\": {}, \"symbols\": {} }}",
            json!(format!("{}_symbols", column.name)),
            json!(symbols).to_string().replace("\",\"", "\", \"")
        ),
    }
}

/// What the person who edits the schema should know.
fn doc(column: &GuessedColumn) -> String {
    let guess = match &column.kind {
        _ if column.values == 0 => "no value in the file: choose a type".to_owned(),
        Guessed::Enum(_) => "other symbols are rejected: add them, or make it a string".to_owned(),
        Guessed::Decimal { scale, .. } => {
            format!("at most {} after the point", counted((*scale).into(), "digit"))
        }
        Guessed::Text { .. } => "text".to_owned(),
        _ => "guessed".to_owned(),
    };
    format!("{guess}; {} in the file, {} empty", counted(column.values, "value"), column.nulls)
}

/// Returns a name as Avro's records have it: `price_events` becomes `PriceEvents`.
fn record_name(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(capitalized).collect()
}
