//! The columns of a row, read from an Avro schema. Everything else follows this one description of a file's rows.
//!
//! Of Avro (<https://avro.apache.org/docs/1.12.0/specification/>) it reads records of `long`, `string`, `timestamp-millis`, `decimal` in
//! `bytes`, and `uuid` in `fixed`, each alone or in a union with `null`. Additional attributes say what Avro cannot say about a
//! field: `minimum`, `min_length` and `max_length`, and `source` for a field that an upload fills in. The attribute `key` of the
//! record names the field that identifies a row.

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordField, RecordSchema, UuidSchema};
use serde_json::Value as Json;
use thiserror::Error;

use super::value::Value;
use super::{money, timestamp};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Long {
        minimum: i64,
    },
    /// Money: `precision` digits in all, `scale` of them after the point.
    Decimal {
        precision: u32,
        scale: u32,
    },
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// Lengths in characters.
    Text {
        min_length: usize,
        max_length: usize,
    },
    Uuid,
}

/// The source of a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file's field of that name.
    Field,
    /// The id of the row's upload.
    UploadId,
    /// The number of the row's line in its file, from 1.
    Line,
}

/// The position of `null` in the union of a nullable column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nullability {
    Required,
    NullFirst,
    NullLast,
}

/// One column: a field of the Avro record, in wire order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullability: Nullability,
    pub source: Source,
}

impl Column {
    /// Says whether files have a field for it.
    pub fn is_field(&self) -> bool {
        self.source == Source::Field
    }

    #[inline]
    pub fn is_nullable(&self) -> bool {
        self.nullability != Nullability::Required
    }

    /// Says whether a value from another producer could have come from a file. The length of a text does not matter.
    pub fn admits(&self, value: Value) -> bool {
        match (self.kind, value) {
            (_, Value::Null) => self.is_nullable(),
            (Kind::Long { minimum }, Value::Long(number)) => number >= minimum,
            (Kind::Timestamp, Value::Timestamp(millis)) => timestamp::is_in_range(millis),
            (Kind::Decimal { precision, .. }, Value::Decimal(unscaled)) => {
                unscaled.unsigned_abs() <= money::largest(precision).unsigned_abs()
            }
            (Kind::Text { .. }, Value::Text { .. }) | (Kind::Uuid, Value::Uuid(_)) => true,
            _ => false,
        }
    }
}

/// The columns of a row, in the order in which Avro writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    columns: Vec<Column>,
    key: Option<usize>,
}

/// The reason why an Avro schema does not describe rows.
#[derive(Debug, Error)]
pub enum ColumnsError {
    #[error("not an Avro schema: {0}")]
    NotAvro(String),
    #[error("the schema is not a record")]
    NotARecord,
    #[error("field {field}: {reason}")]
    Field { field: String, reason: &'static str },
    #[error("the record's attribute key is missing, or does not name a required field of type long")]
    Key,
}

impl Columns {
    /// Reads the columns from the text of an Avro schema. Without a `key`, as in the schema of another producer, rows can only be decoded.
    ///
    /// # Errors
    /// It is not an Avro record, or a field has an unsupported type.
    pub fn parse(schema: &str) -> Result<Self, ColumnsError> {
        let schema = Schema::parse_str(schema).map_err(|error| ColumnsError::NotAvro(error.to_string()))?;
        let Schema::Record(record) = &schema else { return Err(ColumnsError::NotARecord) };
        let columns = record.fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let key = key(record, &columns)?;
        Ok(Self { columns, key })
    }

    /// Returns the columns for which files have fields.
    pub fn fields(&self) -> impl Iterator<Item = &Column> {
        self.iter().filter(|column| column.is_field())
    }

    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.columns.iter()
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns the index of the column with this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Returns the index of the column that identifies a row.
    ///
    /// # Errors
    /// The schema does not name one.
    pub fn key(&self) -> Result<usize, ColumnsError> {
        self.key.ok_or(ColumnsError::Key)
    }
}

fn key(record: &RecordSchema, columns: &[Column]) -> Result<Option<usize>, ColumnsError> {
    let Some(name) = record.attributes.get("key") else { return Ok(None) };
    columns
        .iter()
        .position(|column| {
            Some(column.name.as_str()) == name.as_str()
                && matches!(column.kind, Kind::Long { minimum } if minimum >= 0)
                && !column.is_nullable()
        })
        .map(Some)
        .ok_or(ColumnsError::Key)
}

fn column(field: &RecordField) -> Result<Column, ColumnsError> {
    let fail = |reason| ColumnsError::Field { field: field.name.clone(), reason };
    let (schema, nullability) = match &field.schema {
        Schema::Union(union) => match union.variants() {
            [Schema::Null, schema] => (schema, Nullability::NullFirst),
            [schema, Schema::Null] => (schema, Nullability::NullLast),
            _ => return Err(fail("a union must be of null and one other type")),
        },
        schema => (schema, Nullability::Required),
    };
    let kind = match schema {
        Schema::Long => Kind::Long { minimum: attribute(field, "minimum", Json::as_i64).unwrap_or(i64::MIN) },
        Schema::TimestampMillis => Kind::Timestamp,
        Schema::String => Kind::Text {
            min_length: attribute(field, "min_length", length).unwrap_or(0),
            max_length: attribute(field, "max_length", length).unwrap_or(usize::MAX),
        },
        Schema::Decimal(decimal) => decimal_kind(decimal).map_err(fail)?,
        Schema::Uuid(UuidSchema::Fixed(_)) => Kind::Uuid,
        _ => {
            return Err(fail(
                "only long, string, timestamp-millis, decimal in bytes and uuid in fixed are supported",
            ));
        }
    };
    let source = match (field.custom_attributes.get("source").and_then(Json::as_str), kind) {
        (None, Kind::Uuid) => return Err(fail("files have no uuid; its source must be upload_id")),
        (None, _) => Source::Field,
        (Some("upload_id"), Kind::Uuid) => Source::UploadId,
        (Some("line"), Kind::Long { .. }) => Source::Line,
        (Some(_), _) => return Err(fail("the source must be upload_id (for a uuid) or line (for a long)")),
    };
    if source != Source::Field && nullability == Nullability::Required {
        return Err(fail("a field that an upload fills in must be nullable; other producers do not have it"));
    }
    Ok(Column { name: field.name.clone(), kind, nullability, source })
}

fn decimal_kind(decimal: &DecimalSchema) -> Result<Kind, &'static str> {
    let precision = u32::try_from(decimal.precision).unwrap_or(u32::MAX);
    let scale = u32::try_from(decimal.scale).unwrap_or(u32::MAX);
    match decimal.inner {
        InnerDecimalSchema::Bytes if precision <= money::MAX_PRECISION && scale <= precision => {
            Ok(Kind::Decimal { precision, scale })
        }
        InnerDecimalSchema::Bytes => Err("a decimal has at most 38 digits"),
        InnerDecimalSchema::Fixed(_) => Err("a decimal must be in bytes, not fixed"),
    }
}

fn attribute<T>(field: &RecordField, name: &str, read: impl Fn(&Json) -> Option<T>) -> Option<T> {
    field.custom_attributes.get(name).and_then(read)
}

fn length(json: &Json) -> Option<usize> {
    json.as_u64().and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_bets_has_ten_fields_two_filled_columns_and_a_key() {
        let columns = Columns::parse(include_str!("../../schemas/bets.avsc")).unwrap();
        assert_eq!(columns.fields().count(), 10);
        let filled = columns.columns.iter().filter(|column| !column.is_field());
        let filled: Vec<_> = filled.map(|column| (column.name.as_str(), column.source)).collect();
        assert_eq!(filled, [("upload_id", Source::UploadId), ("line", Source::Line)]);
        assert_eq!(columns.key().unwrap(), columns.position("game_instance_id").unwrap());
        let bet = &columns.columns[columns.position("real_amount_bet").unwrap()];
        assert_eq!(bet.kind, Kind::Decimal { precision: 28, scale: 8 });
        assert_eq!(bet.nullability, Nullability::NullFirst);
        let user = &columns.columns[columns.position("user_id").unwrap()];
        assert_eq!(user.kind, Kind::Text { min_length: 1, max_length: 128 });
    }

    #[test]
    fn an_unsupported_type_is_reported_with_its_field() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"tags","type":{"type":"array","items":"string"}}]}"#;
        assert!(Columns::parse(schema).unwrap_err().to_string().starts_with("field tags: only long"));
    }
}
