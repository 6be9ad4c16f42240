//! How the values of parameters are read and described.

use serde_json::Value as Json;
use utoipa::openapi::schema::{ArrayBuilder, Type};
use utoipa::openapi::{ObjectBuilder, Schema};

use super::Parameter;
use super::describe::{number, one_of, text};

/// Reads a text. The error is what is wrong with it.
type Read<T> = dyn Fn(&str) -> Result<T, String>;

/// One value: how it is read, and how it is described.
pub(crate) struct Value<T> {
    read: Box<Read<T>>,
    schema: ObjectBuilder,
}

impl<T: 'static> Value<T> {
    /// The error of `read` is what the value must be, to follow "it must be".
    pub(crate) fn new(schema: ObjectBuilder, read: impl Fn(&str) -> Result<T, String> + 'static) -> Self {
        let read = move |text: &str| read(text).map_err(|what| format!("it must be {what}"));
        Self { read: Box::new(read), schema }
    }

    /// A parameter that may be left out, and then is none.
    pub(crate) fn optional(self) -> Parameter<Option<T>> {
        Parameter::once(self.schema, move |text| text.map(self.read).transpose())
    }

    /// A parameter that may be left out, and then has this value, written as in a request.
    pub(crate) fn or(self, default: impl Into<Json>) -> Parameter<T> {
        let default = default.into();
        let left_out = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let schema = self.schema.default(Some(default));
        Parameter::once(schema, move |text| (self.read)(text.unwrap_or(&left_out)))
    }

    /// A parameter that may be given several times.
    pub(crate) fn repeated(self, most: usize) -> Parameter<Vec<T>> {
        let schema = ArrayBuilder::new().items(self.schema).max_items(Some(most));
        Parameter::new(Schema::from(schema.default(Some(Json::Array(Vec::new())))), move |texts| {
            if texts.len() > most {
                return Err(format!("it may be given {most} times at most"));
            }
            texts.iter().map(|text| (self.read)(text)).collect()
        })
    }
}

/// Any text.
pub(crate) fn any(schema: ObjectBuilder) -> Value<String> {
    Value::new(schema, |text| Ok(text.to_owned()))
}

/// A text that names a value. With `auto`, the server finds the value by itself: none.
pub(crate) fn auto<T: 'static>(what: &'static str, find: fn(&str) -> Option<T>) -> Parameter<Option<T>> {
    let read = move |name: &str| match name {
        "auto" => Ok(None),
        name => find(name).map(Some).ok_or_else(|| format!("auto, {what}")),
    };
    Value::new(text(), read).or("auto")
}

/// One of some values, by its name.
pub(crate) fn choice<T: Clone + 'static>(choices: impl IntoIterator<Item = (&'static str, T)>) -> Value<T> {
    let (names, values): (Vec<_>, Vec<_>) = choices.into_iter().unzip();
    Value::new(one_of(names.clone()), move |text| {
        let found = names.iter().position(|name| *name == text).and_then(|at| values.get(at));
        found.cloned().ok_or_else(|| listed(&names))
    })
}

/// `a, b or c`
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

/// `true` or `false`; left out, it is false.
pub(crate) fn flag() -> Parameter<bool> {
    let read = |text: &str| match text {
        "false" | "0" => Ok(false),
        "true" | "1" => Ok(true),
        _ => Err("true or false".to_owned()),
    };
    Value::new(ObjectBuilder::new().schema_type(Type::Boolean), read).or(false)
}

/// A whole number between two bounds. `more` follows the error.
pub(crate) fn whole(least: u64, most: u64, more: &'static str) -> Value<u64> {
    Value::new(number(least, most), move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("a whole number from {least} to {most}{more}"))
    })
}

/// The number of rows of a page.
pub(crate) fn limit(default: u64, most: u64) -> Parameter<u64> {
    whole(1, most, "").or(default)
}
