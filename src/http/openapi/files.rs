//! Request bodies that are files.

use serde_json::json;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Required, Schema};

/// A file that can be uploaded unchanged.
const FILE: &str = include_str!("examples/file.csv");

/// A file that can be replayed unchanged.
const CORRECTED: &str = include_str!("examples/corrected.csv");

/// How many files a handler accepts.
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
                "A form with one or several CSV files (repeat the part `file`), or a CSV file as the body"
            }
            Self::One => "A form with a CSV file, or a CSV file as the body",
            Self::AtMostOne => "Nothing, or a form with a CSV file, or a CSV file as the body",
        };
        let file = || {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        };
        // One file, not a list: clients such as Postman then offer to choose one. A form may repeat the part.
        let form = ObjectBuilder::new().property("file", file());
        let is_optional = self == Self::AtMostOne;
        let form = if is_optional { form } else { form.required("file") };
        let raw = ContentBuilder::new().schema(Some(Schema::from(file()))).example(Some(json!(example)));
        RequestBodyBuilder::new()
            .description(Some(about))
            .required(Some(if is_optional { Required::False } else { Required::True }))
            .content("text/csv", raw.build())
            .content("multipart/form-data", ContentBuilder::new().schema(Some(Schema::from(form))).build())
            .build()
    }
}
