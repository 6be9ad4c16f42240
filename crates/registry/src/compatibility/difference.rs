//! Differences between a reader's and a writer's schema, and their messages.

use roundhouse_part::counted::counted;

/// One place where a reader cannot read what a writer wrote.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Type { writer: &'static str, reader: &'static str },
    LogicalType { writer: String, reader: String },
    Name { writer: String, reader: String },
    FixedSize { writer: usize, reader: usize },
    EnumSymbols(Vec<String>),
    UnionBranch(String),
    MissingDefault(String),
}

impl Difference {
    /// Returns a message with the names of both sides, in the form of Confluent's messages.
    pub(super) fn explain(&self, reader: &str, writer: &str) -> String {
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
                    "the fixed at path {path} has {} in the {reader} schema and {} in the {writer} schema",
                    counted(*to as u64, "byte"),
                    counted(*from as u64, "byte")
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
