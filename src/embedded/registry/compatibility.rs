//! Can data written with one schema be read with another?
//!
//! The rules are the Avro specification's for schema resolution, as Confluent's registry applies them, and one
//! more: the logical type stays. Confluent's lets `decimal(12, 2)` become `decimal(12, 4)` and milliseconds
//! become microseconds, which every reader then reads as another amount and another time.
//!
//! `apache_avro::schema_compatibility` is not enough for that: it takes units of time for one another, calls a
//! union or enum readable in part, compares references by their names only, does not know aliases of types, and
//! its messages are dumps of schemas. The tests below hold this against it: never more lenient.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use super::RegistryError;

/// Types that one comparison may look at.
const MAX_STEPS: u32 = 1_000_000;

/// Types within types that one comparison may follow, through references too.
const MAX_DEPTH: usize = 400;

/// Which of the earlier schemas a new one must get on with, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Level {
    None,
    #[default]
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    /// Reads a level's name in any case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Self::deserialize(name.as_str().into_deserializer()).map_err(|_: serde::de::value::Error| ()).ok()
    }

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Says whether the new schema must read data of the earlier ones.
    fn reads_old(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Says whether the earlier schemas must read data of the new one.
    fn is_read_by_old(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Says whether all earlier schemas count, not the latest only.
    pub(super) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

/// Returns why `new` does not get on with `old` under `level`; nothing means that it does.
///
/// # Errors
/// The schemas are too complex to compare.
pub(super) fn conflicts(level: Level, new: &Schema, old: &Schema) -> Result<Vec<String>, RegistryError> {
    let mut conflicts = Vec::new();
    if level.reads_old() {
        let found = differences(old, new)?;
        conflicts.extend(found.iter().map(|difference| difference.explain("new", "old")));
    }
    if level.is_read_by_old() {
        let found = differences(new, old)?;
        conflicts.extend(found.iter().map(|difference| difference.explain("old", "new")));
    }
    Ok(conflicts)
}

/// Returns what keeps data written with `writer` from being read with `reader`.
///
/// # Errors
/// The schemas are too complex to compare.
pub(super) fn differences(writer: &Schema, reader: &Schema) -> Result<Vec<Difference>, RegistryError> {
    let mut comparison = Comparison {
        writer_names: names(writer),
        reader_names: names(reader),
        under_way: Vec::new(),
        readable: HashMap::new(),
        path: String::new(),
        depth: 0,
        steps: 0,
    };
    let mut differences = Vec::new();
    comparison.compare(writer, reader, &mut differences)?;
    Ok(differences)
}

/// One place at which a reader cannot read what a writer wrote.
#[derive(Debug)]
pub(super) struct Difference {
    path: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Type { writer: &'static str, reader: &'static str },
    LogicalType { writer: String, reader: String },
    Name { writer: String, reader: String },
    FixedSize { writer: usize, reader: usize },
    EnumSymbols(Vec<String>),
    UnionBranch(String),
    MissingDefault(String),
}

impl Difference {
    /// Words it with the names of both sides, in the form of Confluent's messages.
    fn explain(&self, reader: &str, writer: &str) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        let (kind, description) = match &self.kind {
            Kind::Type { writer: from, reader: to } => (
                "TYPE_MISMATCH",
                format!("the {reader} schema has {to} at path {path} where the {writer} schema has {from}"),
            ),
            Kind::LogicalType { writer: from, reader: to } => (
                "LOGICAL_TYPE_MISMATCH",
                format!("the {reader} schema has {to} at path {path} where the {writer} schema has {from}"),
            ),
            Kind::Name { writer: from, reader: to } => (
                "NAME_MISMATCH",
                format!(
                    "the type at path {path} is named {to} in the {reader} schema and {from} in the {writer} schema"
                ),
            ),
            Kind::FixedSize { writer: from, reader: to } => (
                "FIXED_SIZE_MISMATCH",
                format!(
                    "the fixed at path {path} has {to} bytes in the {reader} schema and {from} in the {writer} schema"
                ),
            ),
            Kind::EnumSymbols(symbols) => (
                "MISSING_ENUM_SYMBOLS",
                format!(
                    "the {reader} schema lacks the enum symbols [{}] of the {writer} schema at path {path}",
                    symbols.join(", ")
                ),
            ),
            Kind::UnionBranch(branch) => (
                "MISSING_UNION_BRANCH",
                format!(
                    "the {reader} schema lacks the union branch {branch} of the {writer} schema at path {path}"
                ),
            ),
            Kind::MissingDefault(field) => (
                "READER_FIELD_MISSING_DEFAULT_VALUE",
                format!(
                    "the field '{field}' at path {path} in the {reader} schema has no default value and is missing in the {writer} schema"
                ),
            ),
        };
        format!("{{errorType:'{kind}', description:'{description}'}}")
    }
}

struct Comparison<'a> {
    writer_names: HashMap<&'a Name, &'a Schema>,
    reader_names: HashMap<&'a Name, &'a Schema>,
    /// Pairs of records that are being compared; one met again inside itself is taken for readable.
    under_way: Vec<Pair>,
    /// Pairs of records found readable without such an assumption about a pair around them.
    readable: HashMap<Pair, ()>,
    path: String,
    depth: usize,
    steps: u32,
}

/// A writer's and a reader's record, by their addresses.
type Pair = (*const RecordSchema, *const RecordSchema);

/// Position in `under_way` of the outermost pair that a result assumes to be readable.
type Assumed = usize;

const NOTHING_ASSUMED: Assumed = usize::MAX;

impl<'a> Comparison<'a> {
    fn compare(
        &mut self,
        writer: &'a Schema,
        reader: &'a Schema,
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        self.steps += 1;
        if self.depth >= MAX_DEPTH || self.steps >= MAX_STEPS {
            return Err(RegistryError::InvalidSchema(
                "it is too large or too deeply nested to compare".to_owned(),
            ));
        }
        self.depth += 1;
        let outcome = self.compare_resolved(
            resolve(&self.writer_names, writer),
            resolve(&self.reader_names, reader),
            found,
        );
        self.depth -= 1;
        outcome
    }

    fn compare_resolved(
        &mut self,
        writer: &'a Schema,
        reader: &'a Schema,
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        match (writer, reader) {
            (Schema::Union(writer), _) => self.branches(writer.variants(), reader, found),
            (_, Schema::Union(readers)) => self.any_branch(writer, readers.variants(), found),
            (Schema::Record(writer), Schema::Record(reader)) => self.records(writer, reader, found),
            (Schema::Array(writer), Schema::Array(reader)) => {
                self.at("items", |this| this.compare(&writer.items, &reader.items, found))
            }
            (Schema::Map(writer), Schema::Map(reader)) => {
                self.at("values", |this| this.compare(&writer.types, &reader.types, found))
            }
            (Schema::Enum(writer), Schema::Enum(reader)) => {
                self.enums(writer, reader, found);
                Ok(NOTHING_ASSUMED)
            }
            _ => {
                self.scalars(writer, reader, found);
                Ok(NOTHING_ASSUMED)
            }
        }
    }

    /// Every branch that may have been written must be readable.
    fn branches(
        &mut self,
        writers: &'a [Schema],
        reader: &'a Schema,
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        let mut assumed = NOTHING_ASSUMED;
        for writer in writers {
            let mut inside = Vec::new();
            assumed = assumed.min(self.compare(writer, reader, &mut inside)?);
            if !inside.is_empty() {
                let branch = branch_name(resolve(&self.writer_names, writer));
                self.found(Kind::UnionBranch(branch), found);
                found.append(&mut inside);
            }
        }
        Ok(assumed)
    }

    /// One branch of the reader must do. If only one has the writer's type, what is wrong with it is the answer.
    fn any_branch(
        &mut self,
        writer: &'a Schema,
        readers: &'a [Schema],
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        let mut nearest = Vec::new();
        for reader in readers {
            let mut inside = Vec::new();
            let assumed = self.compare(writer, reader, &mut inside)?;
            if inside.is_empty() {
                return Ok(assumed);
            }
            if !inside
                .iter()
                .any(|difference| matches!(difference.kind, Kind::Type { .. } | Kind::Name { .. }))
            {
                nearest = inside;
            }
        }
        if nearest.is_empty() {
            self.found(Kind::Type { writer: type_name(writer), reader: "a union without it" }, found);
        }
        found.append(&mut nearest);
        Ok(NOTHING_ASSUMED)
    }

    fn records(
        &mut self,
        writer: &'a RecordSchema,
        reader: &'a RecordSchema,
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        let pair: Pair = (writer, reader);
        if self.readable.contains_key(&pair) {
            return Ok(NOTHING_ASSUMED);
        }
        if let Some(position) = self.under_way.iter().position(|other| *other == pair) {
            return Ok(position);
        }
        if !self.same_name(&writer.name, &reader.name, reader.aliases.as_deref(), found) {
            return Ok(NOTHING_ASSUMED);
        }
        let position = self.under_way.len();
        self.under_way.push(pair);
        let before = found.len();
        let assumed = self.fields(writer, reader, found)?;
        self.under_way.pop();
        // What rests on this very pair is settled with it; what rests on one further out is not.
        if assumed < position {
            return Ok(assumed);
        }
        if found.len() == before {
            self.readable.insert(pair, ());
        }
        Ok(NOTHING_ASSUMED)
    }

    fn fields(
        &mut self,
        writer: &'a RecordSchema,
        reader: &'a RecordSchema,
        found: &mut Vec<Difference>,
    ) -> Result<Assumed, RegistryError> {
        let written: HashMap<&str, &Schema> =
            writer.fields.iter().map(|field| (field.name.as_str(), &field.schema)).collect();
        let mut assumed = NOTHING_ASSUMED;
        for field in &reader.fields {
            let names = std::iter::once(&field.name).chain(&field.aliases);
            let source = names.filter_map(|name| written.get(name.as_str())).next().copied();
            let step = format!("fields/{}", field.name);
            match source {
                Some(schema) => {
                    assumed = assumed.min(self.at(&step, |this| this.compare(schema, &field.schema, found))?);
                }
                None if field.default.is_none() => self.at(&step, |this| {
                    this.found(Kind::MissingDefault(field.name.clone()), found);
                }),
                None => {}
            }
        }
        Ok(assumed)
    }

    fn enums(&self, writer: &EnumSchema, reader: &EnumSchema, found: &mut Vec<Difference>) {
        if !self.same_name(&writer.name, &reader.name, reader.aliases.as_deref(), found) {
            return;
        }
        if reader.default.is_some() {
            return;
        }
        let known: std::collections::HashSet<&String> = reader.symbols.iter().collect();
        let missing: Vec<String> =
            writer.symbols.iter().filter(|symbol| !known.contains(symbol)).take(20).cloned().collect();
        if !missing.is_empty() {
            self.found(Kind::EnumSymbols(missing), found);
        }
    }

    /// Compares what has no parts: the type first, the size of a fixed, then the logical type.
    fn scalars(&self, writer: &Schema, reader: &Schema, found: &mut Vec<Difference>) {
        let (from, to) = (type_name(writer), type_name(reader));
        if from != to && !is_promoted(from, to) {
            return self.found(Kind::Type { writer: from, reader: to }, found);
        }
        if let (Some(writer), Some(reader)) = (fixed(writer), fixed(reader)) {
            if !self.same_name(&writer.name, &reader.name, reader.aliases.as_deref(), found) {
                return;
            }
            if writer.size != reader.size {
                return self.found(Kind::FixedSize { writer: writer.size, reader: reader.size }, found);
            }
        }
        let (writer, reader) = (logical_type(writer), logical_type(reader));
        if writer != reader {
            let or_none = |name: Option<String>| name.unwrap_or_else(|| "no logical type".to_owned());
            self.found(Kind::LogicalType { writer: or_none(writer), reader: or_none(reader) }, found);
        }
    }

    /// Types are the same by their unqualified names, or by an alias that the reader gives the writer's full name.
    fn same_name(
        &self,
        writer: &Name,
        reader: &Name,
        aliases: Option<&[apache_avro::schema::Alias]>,
        found: &mut Vec<Difference>,
    ) -> bool {
        let full = writer.fullname(None);
        let alias =
            aliases.unwrap_or_default().iter().any(|alias| alias.fullname(reader.namespace()) == full);
        if writer.name() == reader.name() || alias {
            return true;
        }
        self.found(Kind::Name { writer: full, reader: reader.fullname(None) }, found);
        false
    }

    /// Does something one step further down the path.
    fn at<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(step);
        let result = work(self);
        self.path.truncate(length);
        result
    }

    fn found(&self, kind: Kind, found: &mut Vec<Difference>) {
        found.push(Difference { path: self.path.clone(), kind });
    }
}

/// Returns the definitions of all named types in a schema.
fn names(schema: &Schema) -> HashMap<&Name, &Schema> {
    let mut names = HashMap::new();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        if let Some(name) = schema.name()
            && !matches!(schema, Schema::Ref { .. })
        {
            names.insert(name, schema);
        }
        match schema {
            Schema::Record(record) => waiting.extend(record.fields.iter().map(|field| &field.schema)),
            Schema::Union(union) => waiting.extend(union.variants()),
            Schema::Array(array) => waiting.push(&array.items),
            Schema::Map(map) => waiting.push(&map.types),
            _ => {}
        }
    }
    names
}

fn resolve<'a>(names: &HashMap<&'a Name, &'a Schema>, schema: &'a Schema) -> &'a Schema {
    match schema {
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        other => other,
    }
}

/// Says whether Avro reads a value of the type `from` as one of the type `to`.
fn is_promoted(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("int", "long" | "float" | "double")
            | ("long", "float" | "double")
            | ("float", "double")
            | ("string", "bytes")
            | ("bytes", "string")
    )
}

/// Returns the Avro type below any logical type.
fn type_name(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => "bytes",
        Schema::Decimal(decimal) => match decimal.inner {
            InnerDecimalSchema::Bytes => "bytes",
            InnerDecimalSchema::Fixed(_) => "fixed",
        },
        Schema::Fixed(_) | Schema::Duration(_) | Schema::Uuid(UuidSchema::Fixed(_)) => "fixed",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Ref { .. } => "an undefined name",
    }
}

/// Names what a reader would take for something else without it. A UUID is the same text or bytes to all.
fn logical_type(schema: &Schema) -> Option<String> {
    let name = match schema {
        Schema::Decimal(decimal) => {
            return Some(format!("decimal({}, {})", decimal.precision, decimal.scale));
        }
        Schema::BigDecimal => "big-decimal",
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        Schema::Duration(_) => "duration",
        _ => return None,
    };
    Some(name.to_owned())
}

fn fixed(schema: &Schema) -> Option<&FixedSchema> {
    match schema {
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Some(fixed)
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Fixed(fixed) => Some(fixed),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

fn branch_name(schema: &Schema) -> String {
    schema.name().map_or_else(|| type_name(schema).to_owned(), |name| name.fullname(None))
}
