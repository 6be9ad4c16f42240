//! Describes parameters in the terms of OpenAPI.
//!
//! Clients such as Postman send every optional parameter of the description, with a value made from its schema. So each has a `default`,
//! an `enum` or a `pattern` whose values the handlers accept. A `default` means the same as leaving the parameter out.

use serde_json::Value;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema};

/// A parameter. Those of a path are required, all others are optional.
pub fn parameter(
    place: ParameterIn,
    name: &str,
    about: &str,
    schema: impl Into<RefOr<Schema>>,
) -> ParameterBuilder {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
    parameter.description(Some(about)).schema(Some(schema))
}

pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}

/// One of some words.
pub fn one_of<T: Into<Value>>(words: impl IntoIterator<Item = T>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

/// A whole number.
pub fn number(least: u64, most: u64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least as f64))
        .maximum(Some(most as f64))
}
