//! The endpoint that lists rows, and the checks of the rows.

use crate::guess::{Guess, GuessedColumn};

/// Names of an endpoint's parameters that mean something else.
const TAKEN_PARAMETERS: [&str; 9] =
    ["cursor", "escape_formulas", "format", "height", "theme", "width", "limit", "from", "to"];

impl Guess {
    pub(super) fn list(&self) -> String {
        let (mut parameters, mut conditions) = (Vec::new(), Vec::new());
        if let Some(key) = self.key.and_then(|at| self.columns.get(at)) {
            let name = match TAKEN_PARAMETERS.contains(&key.name.as_str()) {
                true => format!("{}_value", key.name),
                false => key.name.clone(),
            };
            parameters.push(format!("-- param {name} Only the row with this {}", key.name));
            conditions.push(optional(&name, "Nullable(UInt64)", &format!("{} =", key.quoted())));
        }
        let time = self.time_column();
        let time_name = time.trim_matches('`');
        let column = self.time.and_then(|at| self.columns.get(at));
        let kind = column
            .map_or_else(|| "Nullable(DateTime64(3, 'UTC'))".to_owned(), |column| column.kind.sql(true));
        for (name, about, comparison) in [("from", "First", ">="), ("to", "Last", "<")] {
            let range = if name == "from" { "inclusive" } else { "exclusive" };
            parameters.push(format!("-- param {name} {about} {time_name} ({range})"));
            conditions.push(optional(name, &kind, &format!("{time} {comparison}")));
        }
        let key = self.key_name();
        let page = key.map_or_else(|| "kafka_epoch, kafka_partition, kafka_offset".to_owned(), str::to_owned);
        let mut columns: Vec<String> = self.columns.iter().map(GuessedColumn::quoted).collect();
        columns.extend(self.received_at());
        if key.is_none() {
            columns.extend(["kafka_epoch", "kafka_partition", "kafka_offset"].map(str::to_owned));
        }
        format!(
            "-- Rows of {}\n{}\n-- page: {page}\nSELECT\n    {}\nFROM {}\nWHERE {}\n",
            self.name,
            parameters.join("\n"),
            columns.join(",\n    "),
            self.table(),
            conditions.join("\n    AND "),
        )
    }

    /// A check that shows how much is stored.
    pub(super) fn stored(&self) -> String {
        let time = self.time_column();
        format!(
            "-- How much is stored: rows, and the first and the last time\n\
             SELECT count() AS stored_rows, min({time}) AS first_time, max({time}) AS last_time\nFROM {}\n",
            self.table()
        )
    }

    /// A check that the key identifies rows, if there is one.
    pub(super) fn duplicates(&self) -> Option<String> {
        let key = self.columns.get(self.key?)?.quoted();
        Some(format!(
            "-- Keys that are stored more than once\n-- expect: no rows\n\
             SELECT {key}, count() AS times\nFROM {}\nGROUP BY {key}\nHAVING times > 1\nORDER BY {key}\nLIMIT 100\n",
            self.table()
        ))
    }
}

/// Returns a condition that holds if a parameter was left out.
fn optional(name: &str, kind: &str, comparison: &str) -> String {
    format!("({{{name}:{kind}}} IS NULL OR {comparison} {{{name}:{kind}}})")
}
