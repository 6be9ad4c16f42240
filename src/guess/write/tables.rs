//! The table of the rows.

use std::fmt::Write;

use crate::guess::Guess;

impl Guess {
    pub(super) fn row_table(&self) -> String {
        let mut lines: Vec<(String, String)> = self
            .columns
            .iter()
            .map(|column| (column.quoted(), column.kind.sql(column.is_nullable)))
            .collect();
        let mut more = |name: &str, kind: &str| lines.push((name.to_owned(), kind.to_owned()));
        if let Some(name) = self.received_at() {
            more(&name, "DateTime64(3, 'UTC')");
        }
        for (name, kind) in [("upload_id", "Nullable(UUID)"), ("line", "Nullable(UInt64)")] {
            if self.has_filled(name) {
                more(name, kind);
            }
        }
        more("kafka_epoch", "UInt32");
        more("kafka_partition", "UInt16");
        more("kafka_offset", "UInt64");
        if self.key.is_some() {
            more("recounted", "Bool DEFAULT false");
        }
        let table = self.table();
        let rows = if self.key.is_some() { "Each row once" } else { "Every message as a row" };
        let mut text = format!(
            "-- {rows}: the columns of schemas/{}.avsc, and where the row was in Kafka. ORDER BY decides which queries are fast: begin with the\n\
             -- columns that they select by. The deduplication window must stay: it keeps a block from being stored twice after a crash.\n\
             CREATE TABLE IF NOT EXISTS {table}\n(\n",
            self.name
        );
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let last = lines.len() - 1;
        for (at, (name, kind)) in lines.iter().enumerate() {
            let comma = if at == last { "" } else { "," };
            // Writing to memory cannot fail.
            let _ = writeln!(text, "    {name:width$} {kind}{comma}");
        }
        let _ = write!(
            text,
            ")\nENGINE = MergeTree\nORDER BY {}\nSETTINGS non_replicated_deduplication_window = 1000\n",
            self.order()
        );
        text
    }

    /// The order of the rows: by the key, or by a symbol and time.
    fn order(&self) -> String {
        if let Some(key) = self.key.and_then(|at| self.columns.get(at)) {
            return key.quoted();
        }
        let time = self.time_column();
        match self.dimension() {
            Some(symbol) => format!("({}, {time})", symbol.quoted()),
            None => time,
        }
    }
}
