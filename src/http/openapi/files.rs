//! Bodies of requests that are files.

use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Required, Schema};

use super::parameters::choice;

/// A file that can be uploaded as it stands here.
const FILE: &str = include_str!("examples/file.csv");

/// A file that can be replayed as it stands here.
const CORRECTED: &str = include_str!("examples/corrected.csv");

/// How many files a handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// The file as the body, or the files of a form.
    Several,
    /// The file as the body, or the first one of a form.
    One,
    /// Like one, or nothing.
    AtMostOne,
}

impl Files {
    pub fn request_body(self) -> RequestBody {
        let example = if self == Self::AtMostOne { CORRECTED } else { FILE };
        let about = match self {
            Self::Several => {
                "A CSV file as the body, or one or several as the files of a form, under any name"
            }
            Self::One => "A CSV file as the body, or as the file of a form, under any name",
            Self::AtMostOne => "Nothing, or a CSV file as the body, or as the file of a form",
        };
        let file = || {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        };
        let in_form = match self {
            Self::Several => Schema::from(ArrayBuilder::new().items(file().build()).min_items(Some(1))),
            Self::One | Self::AtMostOne => Schema::from(file()),
        };
        let form = ObjectBuilder::new().property("file", in_form).required("file");
        let raw = ContentBuilder::new().schema(Some(Schema::from(file()))).example(Some(json!(example)));
        RequestBodyBuilder::new()
            .description(Some(about))
            .required(Some(if self == Self::AtMostOne { Required::False } else { Required::True }))
            .content("text/csv", raw.build())
            .content("multipart/form-data", ContentBuilder::new().schema(Some(Schema::from(form))).build())
            .build()
    }
}

/// The header that says how a body is compressed.
pub fn content_encoding() -> Parameter {
    ParameterBuilder::new()
        .name("Content-Encoding")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("How the body is compressed. A form cannot be"))
        .schema(Some(choice(&["gzip", "x-gzip", "zstd", "identity", ""], None)))
        .build()
}
