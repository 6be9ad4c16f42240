//! Reads columns from the text of an Avro schema, and says on which line a mistake is.

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordField, UuidSchema};
use serde_json::value::RawValue;

use super::bounds::bound;
use super::lines::{Members, Text};
use super::pattern::Pattern;
use super::pointer::Pointer;
use super::{Bounds, Column, Columns, ColumnsError, Kind, Nullability, Source, UnknownMembers};
use crate::domain::money;
use crate::domain::value::Value;

/// The attributes of a record that Avro or this program knows.
const RECORD_ATTRIBUTES: [&str; 8] =
    ["type", "name", "namespace", "doc", "aliases", "fields", "key", "unknown_members"];

/// The attributes of a field that Avro knows.
const AVRO_ATTRIBUTES: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];

/// The attributes of a field that this program adds.
const FIELD_ATTRIBUTES: [&str; 8] =
    ["minimum", "maximum", "min_length", "max_length", "pattern", "multiline", "path", "source"];

const SUPPORTED_TYPES: &str = "use long, int, boolean, double, string, enum, timestamp-millis, timestamp-micros, date, decimal in bytes, or uuid \
                               in fixed or string";

/// How a schema is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// As a dataset's: with its attributes.
    Ours,
    /// As another producer's: types only.
    Types,
}

/// Reads a schema.
///
/// # Errors
/// It does not describe rows.
pub(super) fn read(text: &str, rules: Rules) -> Result<Columns, ColumnsError> {
    let text = Text(text);
    let schema = Schema::parse_str(text.0).map_err(|error| not_avro(text, &error))?;
    let Schema::Record(record) = &schema else {
        return Err(text.fault(text.0, "the schema is not a record; write {\"type\": \"record\", …}"));
    };
    let members = text.members(text.0)?;
    let fields = members.get("fields").map_or("[]", |fields| fields.get());
    let raw_fields = text.elements(fields)?;
    let mut columns = Vec::with_capacity(record.fields.len());
    for (field, raw) in record.fields.iter().zip(&raw_fields) {
        let reader = FieldReader { text, field, raw: raw.get(), members: text.members(raw.get())?, rules };
        columns.push(reader.column(&record.fields)?);
    }
    let mut read = Columns { columns, key: Vec::new(), unknown_members: UnknownMembers::default() };
    if rules == Rules::Ours {
        check_record_attributes(text, &members)?;
        check_names(text, &read.columns, &raw_fields)?;
        check_paths(text, &read.columns, &raw_fields)?;
        read.unknown_members = unknown_members(text, &members)?;
        read.key = key(text, &members, &read.columns)?;
    }
    Ok(read)
}

/// Says why a text is not an Avro schema: on the line of the first field that makes it none.
fn not_avro(text: Text<'_>, error: &apache_avro::Error) -> ColumnsError {
    if let Err(error) = serde_json::from_str::<&RawValue>(text.0) {
        return ColumnsError { line: error.line().max(1), message: format!("not an Avro schema: {error}") };
    }
    let message = format!("not an Avro schema: {error}");
    let field = text.members(text.0).ok().and_then(|members| {
        let fields = text.elements(members.get("fields")?.get()).ok()?;
        let is_valid = |count: &usize| {
            let fields: Vec<&str> = fields.iter().take(*count).map(|field| field.get()).collect();
            let record = format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","));
            Schema::parse_str(&record).is_ok()
        };
        let first = (1..=fields.len()).find(|count| !is_valid(count))?;
        Some(fields.get(first - 1)?.get())
    });
    text.fault(field.unwrap_or(text.0.trim_start()), message)
}

/// Reads one field.
struct FieldReader<'a> {
    text: Text<'a>,
    field: &'a RecordField,
    raw: &'a str,
    members: Members<'a>,
    rules: Rules,
}

impl FieldReader<'_> {
    fn column(&self, fields: &[RecordField]) -> Result<Column, ColumnsError> {
        let (schema, nullability) = match &self.field.schema {
            Schema::Union(union) => match union.variants() {
                [Schema::Null, schema] => (schema, Nullability::NullFirst),
                [schema, Schema::Null] => (schema, Nullability::NullLast),
                _ => {
                    let message =
                        "a union must be of null and one other type; split the field, or choose one type";
                    return Err(self.fault("type", message));
                }
            },
            schema => (schema, Nullability::Required),
        };
        let schema = resolved(schema, fields);
        let kind = kind(schema).map_err(|reason| self.fault("type", reason))?;
        let mut column = Column { nullability, ..Column::new(&self.field.name, kind) };
        if let Schema::Enum(symbols) = schema {
            column.symbols.clone_from(&symbols.symbols);
        }
        column.source = self.source(&column)?;
        if self.rules == Rules::Ours {
            self.check_attributes(kind, column.source)?;
            column.kind = self.with_attributes(kind)?;
            column.bounds = self.bounds(kind)?;
            column.pattern = self.pattern()?;
            column.is_multiline = self.is_multiline()?;
            column.path = self.path()?;
            column.aliases.clone_from(&self.field.aliases);
        }
        Ok(column)
    }

    /// A mistake in an attribute of the field, or in the field if it does not have the attribute.
    fn fault(&self, attribute: &str, message: impl AsRef<str>) -> ColumnsError {
        let part = self.members.get(attribute).map_or(self.raw, |raw| raw.get());
        self.text.fault(part, format!("field {}: {}", self.field.name, message.as_ref()))
    }

    fn check_attributes(&self, kind: Kind, source: Source) -> Result<(), ColumnsError> {
        for name in self.members.keys().map(String::as_str) {
            if AVRO_ATTRIBUTES.contains(&name) {
                continue;
            }
            if !FIELD_ATTRIBUTES.contains(&name) {
                let known = FIELD_ATTRIBUTES.join(", ");
                return Err(
                    self.fault(name, format!("unknown attribute {name}; remove it, or use one of {known}"))
                );
            }
            let fits = match name {
                "minimum" | "maximum" => has_order(kind),
                "min_length" | "max_length" | "pattern" | "multiline" => matches!(kind, Kind::Text { .. }),
                "path" => source == Source::Field,
                _ => true,
            };
            if !fits {
                let of = if name == "path" { "a field that the server fills in" } else { "this type" };
                return Err(self.fault(name, format!("{name} does not apply to {of}; remove it")));
            }
        }
        if source != Source::Field && !self.field.aliases.is_empty() {
            return Err(self
                .fault("aliases", "aliases do not apply to a field that the server fills in; remove them"));
        }
        Ok(())
    }

    fn with_attributes(&self, kind: Kind) -> Result<Kind, ColumnsError> {
        Ok(match kind {
            Kind::Long { .. } => match self.bound(kind, "minimum")? {
                Some(Value::Long(minimum)) => Kind::Long { minimum },
                _ => kind,
            },
            Kind::Text { .. } => {
                let min_length = self.length("min_length")?.unwrap_or(0);
                let max_length = self.length("max_length")?.unwrap_or(usize::MAX);
                if min_length > max_length {
                    let message = "min_length is above max_length; lower it, or raise max_length";
                    return Err(self.fault("min_length", message));
                }
                Kind::Text { min_length, max_length }
            }
            kind => kind,
        })
    }

    fn is_multiline(&self) -> Result<bool, ColumnsError> {
        match self.members.get("multiline").map(|raw| raw.get()) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.fault("multiline", "multiline is true or false; correct it")),
        }
    }

    fn bounds(&self, kind: Kind) -> Result<Bounds, ColumnsError> {
        let (minimum, maximum) = (self.bound(kind, "minimum")?, self.bound(kind, "maximum")?);
        if let (Some(minimum), Some(maximum)) = (minimum, maximum)
            && minimum.compare(maximum).is_some_and(std::cmp::Ordering::is_gt)
        {
            return Err(self.fault("minimum", "minimum is above maximum; lower it, or raise maximum"));
        }
        // The type of a long has its minimum.
        let minimum = minimum.filter(|_| !matches!(kind, Kind::Long { .. }));
        Ok(Bounds { minimum, maximum })
    }

    fn bound(&self, kind: Kind, name: &str) -> Result<Option<Value>, ColumnsError> {
        let Some(raw) = self.members.get(name) else { return Ok(None) };
        let found = bound(kind, raw.get());
        found
            .map(Some)
            .map_err(|remedy| self.fault(name, format!("{name} is not a value of the field; {remedy}")))
    }

    fn length(&self, name: &str) -> Result<Option<usize>, ColumnsError> {
        let Some(raw) = self.members.get(name) else { return Ok(None) };
        let length = raw.get().parse().map(Some);
        length.map_err(|_| {
            self.fault(name, format!("{name} is not a length; write a whole number of characters"))
        })
    }

    fn string(&self, name: &str) -> Result<Option<String>, ColumnsError> {
        let Some(raw) = self.members.get(name) else { return Ok(None) };
        let text = serde_json::from_str(raw.get()).map(Some);
        text.map_err(|_| self.fault(name, format!("{name} is not text; write it in double quotes")))
    }

    fn pattern(&self) -> Result<Option<Pattern>, ColumnsError> {
        let Some(text) = self.string("pattern")? else { return Ok(None) };
        let pattern = Pattern::new(&text).map(Some);
        pattern.map_err(|reason| {
            self.fault("pattern", format!("pattern cannot be used: {reason}; correct the regular expression"))
        })
    }

    fn path(&self) -> Result<Option<Pointer>, ColumnsError> {
        let Some(text) = self.string("path")? else { return Ok(None) };
        let message = "path is not a JSON Pointer; write the names of members with a slash before each, such as /data/price";
        Pointer::parse(&text).map(Some).ok_or_else(|| self.fault("path", message))
    }

    fn source(&self, column: &Column) -> Result<Source, ColumnsError> {
        let Some(name) = self.field.custom_attributes.get("source") else { return Ok(Source::Field) };
        let source = match (name.as_str(), column.kind) {
            (Some("upload_id"), Kind::Uuid) => Source::UploadId,
            (Some("line"), Kind::Long { .. }) => Source::Line,
            (Some("received_at"), Kind::Timestamp | Kind::TimestampMicros) => Source::ReceivedAt,
            (Some("processed_at"), Kind::Timestamp | Kind::TimestampMicros) => Source::ProcessedAt,
            (Some("source_partition"), Kind::Long { .. } | Kind::Int) => Source::SourcePartition,
            (Some("source_offset"), Kind::Long { .. }) => Source::SourceOffset,
            _ if self.rules == Rules::Types => return Ok(Source::Field),
            _ => {
                let message = "the source must be upload_id (for a uuid in fixed), line or source_offset (for a long), source_partition (for \
                               a long or an int), or received_at or processed_at (for a timestamp); correct it, or the type";
                return Err(self.fault("source", message));
            }
        };
        if matches!(source, Source::UploadId | Source::Line) && !column.is_nullable() {
            let message = "a field that an upload fills in must be nullable, since other producers do not have it; use a union with null";
            return Err(self.fault("type", message));
        }
        Ok(source)
    }
}

/// Returns the type that a field refers to by name; it is defined in an earlier field.
fn resolved<'a>(schema: &'a Schema, fields: &'a [RecordField]) -> &'a Schema {
    let Schema::Ref { name } = schema else { return schema };
    let plain = |field: &'a RecordField| match &field.schema {
        Schema::Union(union) => union.variants().iter().find(|variant| **variant != Schema::Null),
        schema => Some(schema),
    };
    fields.iter().filter_map(plain).find(|found| found.name() == Some(name)).unwrap_or(schema)
}

fn kind(schema: &Schema) -> Result<Kind, String> {
    Ok(match schema {
        Schema::Boolean => Kind::Boolean,
        Schema::Int => Kind::Int,
        Schema::Long => Kind::Long { minimum: i64::MIN },
        Schema::Double => Kind::Double,
        Schema::String => Kind::Text { min_length: 0, max_length: usize::MAX },
        Schema::Enum(_) => Kind::Enum,
        Schema::TimestampMillis => Kind::Timestamp,
        Schema::TimestampMicros => Kind::TimestampMicros,
        Schema::Date => Kind::Date,
        Schema::Decimal(decimal) => return decimal_kind(decimal),
        Schema::Uuid(UuidSchema::Fixed(_)) => Kind::Uuid,
        Schema::Uuid(UuidSchema::String) => Kind::UuidText,
        _ => return Err(format!("unsupported type; {SUPPORTED_TYPES}")),
    })
}

fn decimal_kind(decimal: &DecimalSchema) -> Result<Kind, String> {
    let precision = u32::try_from(decimal.precision).unwrap_or(u32::MAX);
    let scale = u32::try_from(decimal.scale).unwrap_or(u32::MAX);
    match decimal.inner {
        InnerDecimalSchema::Bytes if precision <= money::MAX_PRECISION && scale <= precision => {
            Ok(Kind::Decimal { precision, scale })
        }
        InnerDecimalSchema::Bytes => {
            Err(format!("a decimal has at most {} digits; lower its precision", money::MAX_PRECISION))
        }
        InnerDecimalSchema::Fixed(_) => {
            Err("a decimal must be in bytes, not fixed; change its type".to_owned())
        }
    }
}

fn has_order(kind: Kind) -> bool {
    !matches!(kind, Kind::Boolean | Kind::Text { .. } | Kind::Enum | Kind::Uuid | Kind::UuidText)
}

fn check_record_attributes(text: Text<'_>, members: &Members<'_>) -> Result<(), ColumnsError> {
    let unknown = members.iter().find(|(name, _)| !RECORD_ATTRIBUTES.contains(&name.as_str()));
    unknown.map_or(Ok(()), |(name, raw)| {
        let message =
            format!("unknown attribute {name} of the record; remove it, or use key or unknown_members");
        Err(text.fault(raw.get(), message))
    })
}

fn unknown_members(text: Text<'_>, members: &Members<'_>) -> Result<UnknownMembers, ColumnsError> {
    match members.get("unknown_members").map(|raw| raw.get()) {
        None | Some("\"ignore\"") => Ok(UnknownMembers::Ignore),
        Some("\"reject\"") => Ok(UnknownMembers::Reject),
        Some(other) => Err(text.fault(other, "unknown_members must be \"ignore\" or \"reject\"; correct it")),
    }
}

/// Checks that no two fields of a file have a name in common. Headers are compared without regard to case.
fn check_names(text: Text<'_>, columns: &[Column], raw: &[&RawValue]) -> Result<(), ColumnsError> {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (column, raw) in columns.iter().zip(raw) {
        let names: Vec<&str> = column.names().collect();
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|other| other == name) {
                let message =
                    format!("field {}: the name {name} occurs twice; remove one of them", column.name);
                return Err(text.fault(raw.get(), message));
            }
            let plain = name.to_lowercase();
            if plain.trim().is_empty() {
                return Err(
                    text.fault(raw.get(), format!("field {}: an alias is empty; remove it", column.name))
                );
            }
            if let Some((_, other)) =
                seen.iter().find(|(known, other)| *known == plain && *other != column.name)
            {
                let message = format!(
                    "field {}: the name {name} belongs to field {other}, too; rename one of them",
                    column.name
                );
                return Err(text.fault(raw.get(), message));
            }
            seen.push((plain, &column.name));
        }
    }
    Ok(())
}

/// Checks that the places of two fields in a JSON object are different, and that none contains the other.
fn check_paths(text: Text<'_>, columns: &[Column], raw: &[&RawValue]) -> Result<(), ColumnsError> {
    let places = |column: &Column| match &column.path {
        Some(path) => vec![path.clone()],
        None => column.names().map(Pointer::member).collect(),
    };
    let mut seen: Vec<(Pointer, &str)> = Vec::new();
    for (column, raw) in columns.iter().zip(raw).filter(|(column, _)| column.is_field()) {
        for place in places(column) {
            let overlaps = |other: &Pointer| {
                other.names().starts_with(place.names()) || place.names().starts_with(other.names())
            };
            if let Some((other, name)) = seen.iter().find(|(other, _)| overlaps(other)) {
                let message = format!(
                    "field {}: its place {place} in a JSON object is, or is a part of, that of field {name} ({other}); correct one of the paths",
                    column.name
                );
                return Err(text.fault(raw.get(), message));
            }
            seen.push((place, &column.name));
        }
    }
    Ok(())
}

fn key(text: Text<'_>, members: &Members<'_>, columns: &[Column]) -> Result<Vec<usize>, ColumnsError> {
    let Some(raw) = members.get("key").map(|raw| raw.get()) else { return Ok(Vec::new()) };
    let one = serde_json::from_str(raw).map(|name: String| vec![name]);
    let names = one.or_else(|_| serde_json::from_str::<Vec<String>>(raw)).unwrap_or_default();
    if names.is_empty() {
        let message = "key is not the name of a field, nor a list of names; correct it, or remove it if rows have no key";
        return Err(text.fault(raw, message));
    }
    let mut key = Vec::with_capacity(names.len());
    for name in &names {
        let Some(at) = columns.iter().position(|column| column.name == *name) else {
            return Err(text.fault(raw, format!("key: there is no field {name}; correct the name")));
        };
        if columns.get(at).is_none_or(Column::is_nullable) {
            return Err(text.fault(raw, format!("key: field {name} may be null; remove null from its type")));
        }
        if columns.get(at).is_some_and(|column| column.kind == Kind::Double) {
            let message = format!(
                "key: field {name} is a double, whose values need not be equal where they look equal; use a decimal, or another field"
            );
            return Err(text.fault(raw, message));
        }
        if key.contains(&at) {
            return Err(text.fault(raw, format!("key: field {name} occurs twice; remove one of them")));
        }
        key.push(at);
    }
    let last = key.last().and_then(|at| columns.get(*at));
    match last.map(|column| (column.kind, column.bounds.minimum)) {
        Some((Kind::Long { minimum: 0.. }, _) | (Kind::Int, Some(Value::Int(0..)))) => Ok(key),
        _ => {
            let name = last.map_or("", |column| column.name.as_str());
            let message = format!(
                "key: its last field, {name}, is not a whole number from 0 up; use a long or an int with \"minimum\": 0"
            );
            Err(text.fault(raw, message))
        }
    }
}
