//! The values that no file has: the server fills them in.

use uuid::Uuid;

use crate::domain::columns::{Column, Columns, Kind, Source};
use crate::domain::value::{Value, ValueError};

/// What the rows of an upload get.
#[derive(Debug)]
pub(super) struct Filled {
    upload_id: Value,
    /// Microseconds since 1970, if a column needs the time.
    now: Option<i64>,
}

impl Filled {
    /// For rows that are of no upload yet.
    pub(super) fn of(columns: &Columns) -> Self {
        let is_time = |column: &Column| matches!(column.source, Source::ReceivedAt | Source::ProcessedAt);
        Self { upload_id: Value::Null, now: columns.iter().any(is_time).then_some(0) }
    }

    pub(super) fn set_upload(&mut self, id: Uuid) {
        self.upload_id = Value::Uuid(id.as_u128());
    }

    /// Notes that bytes of a file have arrived: their rows are validated at once.
    pub(super) fn set_time(&mut self) {
        if let Some(now) = &mut self.now {
            *now = chrono::Utc::now().timestamp_micros();
        }
    }

    /// Returns a column's value in the row of a line.
    ///
    /// # Errors
    /// The column must have a value, and rows of a file have none: they are no messages of another topic.
    #[inline]
    pub(super) fn value(&self, column: &Column, line: u64) -> Result<Value, ValueError> {
        let value = match column.source {
            Source::UploadId => self.upload_id,
            Source::Line => Value::Long(line.cast_signed()),
            Source::ReceivedAt | Source::ProcessedAt => self.time(column.kind),
            Source::SourcePartition | Source::SourceOffset | Source::Field => Value::Null,
        };
        if value == Value::Null && !column.is_nullable() { Err(ValueError::Missing) } else { Ok(value) }
    }

    fn time(&self, kind: Kind) -> Value {
        let micros = self.now.unwrap_or_default();
        match kind {
            Kind::TimestampMicros => Value::TimestampMicros(micros),
            _ => Value::Timestamp(micros.div_euclid(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_times_and_lines_and_no_place_in_another_topic() {
        let columns = Columns::parse(
            r#"{"type":"record","name":"R","fields":[
                {"name":"received","type":{"type":"long","logicalType":"timestamp-millis"},"source":"received_at"},
                {"name":"processed","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"source":"processed_at"},
                {"name":"line","type":["null","long"],"source":"line"},
                {"name":"partition","type":["null","int"],"source":"source_partition"},
                {"name":"offset","type":"long","source":"source_offset"}]}"#,
        );
        let columns = columns.unwrap();
        let before = chrono::Utc::now().timestamp_micros();
        let mut filled = Filled::of(&columns);
        filled.set_time();
        let values: Vec<_> = columns.iter().map(|column| filled.value(column, 7)).collect();
        let Ok(Value::Timestamp(millis)) = values[0] else { panic!("{values:?}") };
        let Ok(Value::TimestampMicros(micros)) = values[1] else { panic!("{values:?}") };
        assert!(micros >= before && micros / 1000 == millis, "{values:?}");
        assert_eq!(values[2..], [Ok(Value::Long(7)), Ok(Value::Null), Err(ValueError::Missing)]);
    }
}
