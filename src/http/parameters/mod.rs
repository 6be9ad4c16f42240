//! Query parameters. Each endpoint states its parameters once, next to its handler: a struct in [`query!`] with a field for each
//! parameter. The field's name is the parameter's name, its comment is the description, and its value is how the parameter is read, with
//! its limits and allowed values ([`values`]). [`Query`] reads the struct from a request, and `utoipa::IntoParams` describes it in
//! `/openapi.json`.
//!
//! Why not `serde` and a derived `IntoParams`: each of them would need the limits and allowed values for itself, `serde` in code and
//! `utoipa` as literals in attributes. Structs could not share fields: `serde(flatten)` switches `deny_unknown_fields` off, and a
//! derived `IntoParams` does not flatten. And the errors of `serde` do not name the parameter.

pub(super) mod describe;
pub(super) mod file;
pub(super) mod values;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use utoipa::openapi::path::{Parameter as Described, ParameterIn, ParameterStyle};
use utoipa::openapi::{RefOr, Schema};

use super::problem::Problem;

/// Bytes of a query string.
pub(super) const MAX_QUERY_BYTES: usize = 16_384;

/// Characters of a parameter's name, or of a path, that an error shows.
pub(super) const SHOWN_CHARACTERS: usize = 100;

/// Defines the query parameters of an endpoint, or some that several endpoints share. A field without a value is a struct of such shared
/// parameters.
macro_rules! query {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[doc = $about:literal])* $field_visibility:vis $field:ident: $kind:ty $(= $parameter:expr)?,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $visibility struct $name {
            $($(#[doc = $about])* $field_visibility $field: $kind,)+
        }

        impl $crate::http::parameters::Parameters for $name {
            fn take(
                given: &mut $crate::http::parameters::Given,
            ) -> Result<Self, $crate::http::problem::Problem> {
                Ok(Self { $($field: query!(@take given, $field, $kind $(, $parameter)?),)+ })
            }
        }

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                [$(query!(@describe $field, [$($about),*], $kind $(, $parameter)?),)+].concat()
            }
        }
    };
    (@take $given:ident, $field:ident, $kind:ty) => {
        <$kind as $crate::http::parameters::Parameters>::take($given)?
    };
    (@take $given:ident, $field:ident, $kind:ty, $parameter:expr) => {
        $given.take(stringify!($field), $parameter)?
    };
    (@describe $field:ident, [$($about:literal),*], $kind:ty) => {
        <$kind as utoipa::IntoParams>::into_params(|| None)
    };
    (@describe $field:ident, [$($about:literal),*], $kind:ty, $parameter:expr) => {
        vec![$parameter.describe(stringify!($field), concat!($($about),*).trim_start())]
    };
}

pub(super) use query;

/// The query parameters of a request. An unknown or repeated parameter, or an invalid value, is an error. `Query<()>`: the endpoint has
/// no parameters.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// A struct of parameters.
pub trait Parameters: Sized {
    /// Takes their values from a request.
    ///
    /// # Errors
    /// A value is invalid, or is given too often.
    fn take(given: &mut Given) -> Result<Self, Problem>;
}

impl Parameters for () {
    fn take(_: &mut Given) -> Result<Self, Problem> {
        Ok(())
    }
}

/// Reads all values of a parameter. The error is what is wrong with them.
type ReadAll<T> = dyn FnOnce(&[String]) -> Result<T, String>;

/// One parameter: how its values are read, and how it is described.
pub(super) struct Parameter<T> {
    read: Box<ReadAll<T>>,
    schema: Schema,
}

impl<T> Parameter<T> {
    fn new(schema: impl Into<Schema>, read: impl FnOnce(&[String]) -> Result<T, String> + 'static) -> Self {
        Self { read: Box::new(read), schema: schema.into() }
    }

    /// A parameter that may be given once. `read` gets its value.
    fn once(
        schema: impl Into<Schema>,
        read: impl FnOnce(Option<&str>) -> Result<T, String> + 'static,
    ) -> Self {
        Self::new(schema, |values| match values {
            [] => read(None),
            [value] => read(Some(value)),
            _ => Err("it may be given only once".to_owned()),
        })
    }

    pub(super) fn describe(self, name: &str, about: &str) -> Described {
        let is_list = matches!(self.schema, Schema::Array(_));
        let parameter = describe::parameter(ParameterIn::Query, name, about, RefOr::T(self.schema));
        let style = is_list.then_some(ParameterStyle::Form);
        parameter.style(style).explode(is_list.then_some(true)).build()
    }
}

/// The parameters of a request. The handler takes each one that it knows; the rest is unknown.
#[derive(Debug)]
pub struct Given {
    rest: Vec<(String, String)>,
    /// The names that the handler knows.
    known: Vec<&'static str>,
}

impl Given {
    /// Parses a query string.
    ///
    /// # Errors
    /// It is too long, or not UTF-8.
    fn parse(query: &str) -> Result<Self, Problem> {
        Ok(Self { rest: pairs(query)?, known: Vec::new() })
    }

    /// Takes a parameter.
    ///
    /// # Errors
    /// A value is invalid, or there are too many.
    pub(super) fn take<T>(&mut self, name: &'static str, parameter: Parameter<T>) -> Result<T, Problem> {
        self.known.push(name);
        let taken = self.rest.extract_if(.., |(key, _)| key == name);
        let values: Vec<String> = taken.map(|(_, value)| value).collect();
        (parameter.read)(&values).map_err(|detail| Problem::parameter(name, detail))
    }

    /// Checks that every parameter was taken.
    ///
    /// # Errors
    /// One is left: the handler does not know it.
    fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.rest.first() else { return Ok(()) };
        let detail = match self.known.as_slice() {
            [] => "this endpoint has no parameters; remove it".to_owned(),
            known => format!("it is not a parameter of this endpoint; use one of {}", known.join(", ")),
        };
        Err(Problem::parameter(&shown(name), detail))
    }
}

/// Returns the names and values in a query string.
///
/// # Errors
/// It is too long, or not UTF-8.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(query_too_long(query.as_bytes()));
    }
    let is_text = |pair: &&str| percent_decode_str(pair).decode_utf8().is_ok();
    if let Some(pair) = query.split('&').find(|pair| !is_text(pair)) {
        let name = pair.split('=').next().unwrap_or_default();
        let detail = "it is not UTF-8 after percent-decoding; encode it as UTF-8";
        return Err(Problem::parameter(&shown(name), detail));
    }
    Ok(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

impl<S: Sync, T: Parameters> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn read<T: Parameters>(query: &str) -> Result<T, Problem> {
    let mut given = Given::parse(query)?;
    let read = T::take(&mut given)?;
    given.finish()?;
    Ok(read)
}

/// The error for a query that is too long. It names the longest parameter.
pub(super) fn query_too_long(query: &[u8]) -> Problem {
    let parameters = url::form_urlencoded::parse(query);
    let longest = parameters.max_by_key(|(name, value)| name.len() + value.len());
    let detail = format!(
        "the query is longer than {MAX_QUERY_BYTES} bytes, mostly because of this parameter; shorten it"
    );
    Problem::parameter(&shown(&longest.unwrap_or_default().0), detail)
}

/// A parameter's name as errors show it.
pub(super) fn shown(name: &str) -> String {
    match name {
        "" => "without a name".to_owned(),
        name => name.chars().take(SHOWN_CHARACTERS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde_json::{Value as Json, json};
    use utoipa::IntoParams;

    use super::*;
    use crate::http::aggregates::request::{AggregatesQuery, Filters};
    use crate::http::differences::DifferencesQuery;
    use crate::http::download::ListQuery;
    use crate::http::newest::Newest;
    use crate::http::reconcile::ReconcileQuery;
    use crate::http::rejects::{RejectsQuery, ReplayQuery};
    use crate::http::repair::RepairQuery;
    use crate::http::upload::UploadQuery;

    query! {
        /// Two parameters, one of them with a comment of two lines.
        struct Shared {
            /// The first line,
            /// and the second
            flag: bool = values::flag(),
            id: Option<u64> = values::whole(0, 9, "").optional(),
        }
    }

    query! {
        /// These two and another one.
        struct Several {
            shared: Shared,
            other: Vec<u64> = values::whole(0, 9, "; or another").repeated(2),
        }
    }

    fn detail<T: Parameters + Debug>(query: &str) -> String {
        read::<T>(query).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_struct_of_parameters_may_be_part_of_another() {
        let Several { shared, other } = read("other=3&id=1&other=3&flag=true").unwrap();
        assert_eq!((shared.flag, shared.id, other), (true, Some(1), vec![3, 3]));
        let Several { shared, other } = read("").unwrap();
        assert_eq!((shared.flag, shared.id, other), (false, None, vec![]));
        let described = json!(Several::into_params(|| None));
        assert_eq!((&described[0]["name"], &described[2]["name"]), (&json!("flag"), &json!("other")));
        assert_eq!(described[0]["description"], "The first line, and the second");
    }

    #[test]
    fn an_error_names_the_parameter_and_what_is_allowed() {
        for (query, said) in [
            ("id=x", "parameter id: it must be a whole number from 0 to 9"),
            ("other=1&other=x", "parameter other: it must be a whole number from 0 to 9; or another"),
            ("flag=yes", "parameter flag: it must be true or false"),
            ("id=1&id=1", "parameter id: it may be given only once"),
            ("other=1&other=2&other=3", "parameter other: it may be given 2 times at most"),
            (
                "shared=1",
                "parameter shared: it is not a parameter of this endpoint; use one of flag, id, other",
            ),
        ] {
            assert_eq!(detail::<Several>(query), said);
        }
        assert_eq!(detail::<()>("x"), "parameter x: this endpoint has no parameters; remove it");
    }

    /// Asserts that each listed value is accepted, and that each default means the same as leaving the parameter out.
    fn assert_described<T: Parameters + IntoParams + Debug>() {
        let left_out = format!("{:?}", read::<T>("").unwrap());
        for parameter in T::into_params(|| None) {
            let (name, schema) = (&parameter.name, json!(parameter.schema));
            assert!(parameter.description.is_some_and(|about| !about.is_empty()), "{name}");
            let given = |value: &Json| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let query =
                    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
                format!("{:?}", read::<T>(&query).unwrap_or_else(|problem| panic!("{}", problem.detail())))
            };
            schema["enum"].as_array().into_iter().flatten().for_each(|value| drop(given(value)));
            // The first and the last day are limits of their own, which leave nothing out.
            if let Some(default) = schema.get("default").filter(|default| !default.is_array()) {
                assert!(given(default) == left_out || name.starts_with("date_"), "{name}={default}");
            }
        }
    }

    #[test]
    fn the_described_values_are_accepted_and_a_default_changes_nothing() {
        assert_described::<UploadQuery>();
        assert_described::<Newest>();
        assert_described::<RejectsQuery>();
        assert_described::<ListQuery>();
        assert_described::<ReplayQuery>();
        assert_described::<AggregatesQuery>();
        assert_described::<Filters>();
        assert_described::<ReconcileQuery>();
        assert_described::<RepairQuery>();
        assert_described::<DifferencesQuery>();
    }
}
