//! Determines whether data written with one schema can be read with another.
//!
//! The rules are those of the Avro specification for schema resolution, as Confluent's registry applies them. There is one more rule: the
//! logical type must not change. Confluent's registry allows changing `decimal(12, 2)` to `decimal(12, 4)` and milliseconds to
//! microseconds; readers would then read other amounts and other times.
//!
//! `apache_avro::schema_compatibility` is not enough for this. It accepts different units of time, accepts a union or enum of which only a
//! part is readable, compares references by name only, does not know aliases of types, and its messages are dumps of schemas. The tests
//! below compare with it: this module must never be more lenient.

mod difference;
mod level;
mod types;

use std::collections::{HashMap, HashSet};

use apache_avro::Schema;
use apache_avro::schema::{Alias, EnumSchema, Name, RecordSchema};

use self::difference::{Difference, Kind};
pub(super) use self::level::Level;
use self::types::{branch_name, fixed, is_promoted, logical_type, names, resolve, type_name};
use super::RegistryError;

/// Limit for the types that one comparison may visit.
const MAX_STEPS: u32 = 1_000_000;

/// Limit for nested types that one comparison may follow, including references.
const MAX_DEPTH: usize = 400;

/// Returns why `new` is not compatible with `old` at this `level`. Empty if it is.
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

/// Returns why data written with `writer` cannot be read with `reader`. Empty if it can.
///
/// # Errors
/// The schemas are too complex to compare.
fn differences(writer: &Schema, reader: &Schema) -> Result<Vec<Difference>, RegistryError> {
    let mut comparison = Comparison {
        writer_names: names(writer),
        reader_names: names(reader),
        under_way: Vec::new(),
        readable: HashSet::new(),
        path: String::new(),
        depth: 0,
        steps: 0,
    };
    let mut differences = Vec::new();
    comparison.compare(writer, reader, &mut differences)?;
    Ok(differences)
}

struct Comparison<'a> {
    writer_names: HashMap<&'a Name, &'a Schema>,
    reader_names: HashMap<&'a Name, &'a Schema>,
    /// Pairs of records that are being compared. If a pair occurs again inside itself, it is assumed to be readable.
    under_way: Vec<Pair>,
    /// Pairs of records that are readable without such an assumption about an outer pair.
    readable: HashSet<Pair>,
    path: String,
    depth: usize,
    steps: u32,
}

/// A writer's and a reader's record, identified by their addresses.
type Pair = (*const RecordSchema, *const RecordSchema);

/// The position in `under_way` of the outermost pair that a result assumes to be readable.
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
                "the schema is too large or too deeply nested to compare".to_owned(),
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

    /// The reader must be able to read every branch that may have been written.
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

    /// One branch of the reader must match. If exactly one branch has the writer's type, the differences to that branch are reported.
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
            self.found(Kind::Type { writer: type_name(writer), reader: "a union without this type" }, found);
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
        if self.readable.contains(&pair) {
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
        // An assumption about this pair is resolved now. An assumption about an outer pair is not.
        if assumed < position {
            return Ok(assumed);
        }
        if found.len() == before {
            self.readable.insert(pair);
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
        let known: HashSet<&String> = reader.symbols.iter().collect();
        let missing: Vec<String> =
            writer.symbols.iter().filter(|symbol| !known.contains(symbol)).take(20).cloned().collect();
        if !missing.is_empty() {
            self.found(Kind::EnumSymbols(missing), found);
        }
    }

    /// Compares types without parts: first the type, then the size of a fixed, then the logical type.
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

    /// Types have the same name if their unqualified names are equal, or if an alias of the reader is the writer's full name.
    fn same_name(
        &self,
        writer: &Name,
        reader: &Name,
        aliases: Option<&[Alias]>,
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

    /// Runs `work` one step further down the path.
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

#[cfg(test)]
mod tests;
