//! The values of a request.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{EndpointError, Prepared};
use crate::dataset::endpoint::LIMIT;
use crate::dataset::endpoint::value::Value;

/// Values that a request gives to one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// In the path or the query string.
    Texts(Vec<String>),
    /// A member of a JSON object.
    Json(Json),
}

/// The values of all parameters of an endpoint, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    values: Vec<(String, Value)>,
    /// Rows of a page.
    pub limit: Option<u64>,
}

impl Arguments {
    /// Reads the values by their types. `in_path`: parameters that are part of the path.
    ///
    /// # Errors
    /// One is missing, unknown or not allowed.
    pub fn read(
        prepared: &Prepared,
        mut given: BTreeMap<String, Given>,
        in_path: &[String],
    ) -> Result<Self, EndpointError> {
        let known = || prepared.endpoint.parameters.iter().map(|parameter| &parameter.name);
        if let Some(unknown) = given.keys().find(|name| !known().any(|known| known == *name)) {
            return Err(EndpointError::parameter(unknown, unknown_parameter(prepared, in_path)));
        }
        let (mut values, mut limit) = (Vec::new(), None);
        for parameter in &prepared.endpoint.parameters {
            let name = &parameter.name;
            let read = match given.remove(name) {
                None => Ok(parameter.left_out.clone()),
                Some(Given::Texts(texts)) => parameter.read_texts(&texts).map(Some),
                Some(Given::Json(json)) => parameter.read_json(&json).map(Some),
            };
            let value = read
                .map_err(|what| EndpointError::parameter(name, format!("it must be {what}")))?
                .ok_or_else(|| {
                    let what = parameter.expected();
                    EndpointError::parameter(name, format!("it is missing, and must be {what}"))
                })?;
            match &value {
                Value::Bare(digits) if !parameter.is_bound && name == LIMIT => limit = digits.parse().ok(),
                _ => values.push((name.clone(), value)),
            }
        }
        Ok(Self { values, limit })
    }

    /// Returns names and values as ClickHouse's HTTP interface takes them.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        self.values.iter().map(|(name, value)| (format!("param_{name}"), value.parameter()))
    }

    /// Returns the value of a parameter that the statement has.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the values that decide which rows there are: all but the number of rows.
    pub(super) fn selection(&self) -> impl Iterator<Item = (&str, String)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.parameter()))
    }
}

fn unknown_parameter(prepared: &Prepared, in_path: &[String]) -> String {
    let is_free = |name: &&str| !in_path.iter().any(|used| used == name);
    let known: Vec<&str> = prepared.endpoint.known_parameters().filter(is_free).collect();
    format!("it is not a parameter of this endpoint; use one of {}", known.join(", "))
}
