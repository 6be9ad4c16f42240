//! What an endpoint that is answered from memory selects, returns, and in which order.

use std::cmp::Ordering;

use super::compare::compare;
use super::key_value::key_value;
use super::write::{write_json, write_text};
use crate::dataset::endpoint::types::Type;
use crate::dataset::endpoint::value::Value as Given;
use crate::dataset::endpoint::{Answer, Endpoint};
use crate::dataset::types::column_type;
use crate::domain::columns::{Column, Kind};
use crate::domain::value::Value;
use crate::endpoints::Column as ResultColumn;
use crate::endpoints::arguments::Arguments;
use crate::latest::layout::{Layout, Place, RowValues};
use crate::latest::values::LastValues;

/// How to answer.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// For each column of the key, the parameter with its value.
    values: Vec<Option<String>>,
    /// The parameter with a list of keys.
    list: Option<String>,
    /// The columns of the result. Each has the text before its value: `{"base":`, then `,"quote":`.
    shown: Vec<(Vec<u8>, Place, Column)>,
    /// The order of the rows, and which columns of it are descending.
    order: Vec<(Place, Column, bool)>,
}

impl Plan {
    /// `names`: the parameters that select keys.
    ///
    /// # Errors
    /// They or the columns cannot be used. The text says what to do.
    pub(super) fn new(
        endpoint: &Endpoint,
        names: &[String],
        columns: &[ResultColumn],
        values: &LastValues,
    ) -> Result<Self, String> {
        let layout = &values.layout;
        let mut plan = Self {
            values: layout.key().map(|_| None).collect(),
            list: None,
            shown: Vec::new(),
            order: Vec::new(),
        };
        for name in names {
            plan.add_parameter(endpoint, name, layout)?;
        }
        if plan.list.is_none() && plan.values.iter().any(Option::is_none) {
            let key: Vec<&str> = layout.key().map(|column| column.name.as_str()).collect();
            return Err(format!(
                "no request could name a whole key; add parameters for all of {}, or a list of type Array(Tuple(…)) of them",
                key.join(", ")
            ));
        }
        for column in columns {
            plan.add_column(column, layout)?;
        }
        plan.add_order(endpoint, layout)?;
        Ok(plan)
    }

    fn add_parameter(&mut self, endpoint: &Endpoint, name: &str, layout: &Layout) -> Result<(), String> {
        let Some(parameter) = endpoint.parameters.iter().find(|one| one.name == name) else { return Ok(()) };
        if let Some((at, column)) = layout.key().enumerate().find(|(_, column)| column.name == name) {
            if !has_type(&parameter.kind, column) {
                return Err(format!(
                    "the parameter {name} has the type {}, but the column has {}; use the type of the column, or Nullable of it",
                    parameter.kind,
                    column_type(column)
                ));
            }
            if let Some(place) = self.values.get_mut(at) {
                *place = Some(name.to_owned());
            }
            return Ok(());
        }
        let is_list = match &parameter.kind {
            Type::Array(inner) => match &**inner {
                Type::Tuple(members) => {
                    members.len() == layout.key().count()
                        && members
                            .iter()
                            .zip(layout.key())
                            .all(|(member, column)| has_type(&member.kind, column))
                }
                _ => false,
            },
            _ => false,
        };
        if !is_list || self.list.is_some() || endpoint.answer == Answer::One {
            let key: Vec<String> = layout.key().map(column_type).collect();
            return Err(format!(
                "the parameter {name} is neither a column of the key nor, once and without answer: one, a list of type Array(Tuple({})); \
                 change it, or remove latest",
                key.join(", ")
            ));
        }
        self.list = Some(name.to_owned());
        Ok(())
    }

    fn add_column(&mut self, column: &ResultColumn, layout: &Layout) -> Result<(), String> {
        let name = &column.name;
        let Some((place, found)) = layout.find(name) else {
            return Err(format!(
                "the schema has no column {name}, so it is not in memory; with latest, a SELECT has columns of the schema only"
            ));
        };
        if found.kind == Kind::Double {
            return Err(format!(
                "the column {name} is a double, which is not answered from memory; remove latest"
            ));
        }
        let wanted = Type::parse(&column_type(found))?;
        if wanted.bare() != column.kind.bare() {
            return Err(format!(
                "the column {name} of the SELECT has the type {}, but that of the schema has {}; with latest, columns are selected unchanged",
                column.kind, wanted
            ));
        }
        let mut before = vec![if self.shown.is_empty() { b'{' } else { b',' }];
        write_text(name.as_bytes(), &mut before);
        before.push(b':');
        self.shown.push((before, place, found.clone()));
        Ok(())
    }

    fn add_order(&mut self, endpoint: &Endpoint, layout: &Layout) -> Result<(), String> {
        if endpoint.answer == Answer::One {
            return Ok(());
        }
        for column in endpoint.page.iter().flat_map(|page| &page.columns) {
            if let Some((place @ Place::Key(_), found)) = layout.find(&column.name) {
                self.order.push((place, found.clone(), column.is_descending));
            }
        }
        let paged = endpoint.page.as_ref().map_or(0, |page| page.columns.len());
        if self.order.len() != layout.key().count() || self.order.len() != paged {
            let key: Vec<&str> = layout.key().map(|column| column.name.as_str()).collect();
            return Err(format!("the rows need an order; add a line -- page: {}", key.join(", ")));
        }
        Ok(())
    }

    /// Returns the keys that a request names, each once. None if it does not name whole keys.
    pub(super) fn keys(&self, arguments: &Arguments, layout: &Layout) -> Option<Vec<Vec<u8>>> {
        let given = |name: &Option<String>| {
            let value = name.as_ref().and_then(|name| arguments.get(name))?;
            (*value != Given::Null).then_some(value)
        };
        let single: Vec<Option<&Given>> = self.values.iter().map(given).collect();
        let listed = match self.list.as_ref().and_then(|list| arguments.get(list)) {
            Some(Given::Array(keys)) if !keys.is_empty() => Some(keys),
            _ => None,
        };
        let mut keys = Vec::new();
        let mut buffer = Vec::new();
        match listed {
            None => {
                let key = single.into_iter().collect::<Option<Vec<&Given>>>()?;
                keys.extend(write_key(key.into_iter(), layout, &mut buffer));
            }
            Some(listed) => {
                for key in listed {
                    let Given::Tuple(members) = key else { continue };
                    // Both conditions of the statement must hold.
                    let is_selected = members
                        .iter()
                        .zip(&single)
                        .all(|(member, single)| single.is_none_or(|single| single == member));
                    if is_selected {
                        buffer.clear();
                        keys.extend(write_key(members.iter(), layout, &mut buffer));
                    }
                }
                keys.sort_unstable();
                keys.dedup();
            }
        }
        Some(keys)
    }

    /// Compares two rows, each with the bytes of its key.
    pub(super) fn compare(&self, one: (&RowValues, &[u8]), other: (&RowValues, &[u8])) -> Ordering {
        for (place, column, is_descending) in &self.order {
            let order = compare(column, (one.0.get(*place), one.1), (other.0.get(*place), other.1));
            let order = if *is_descending { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }

    /// Returns the bytes of a row whose values are all empty.
    pub(super) fn least_bytes(&self) -> usize {
        1 + self.shown.iter().map(|(before, ..)| before.len() + 2).sum::<usize>()
    }

    /// Appends a row in JSON.
    pub(super) fn write(&self, values: &RowValues, key: &[u8], record: &[u8], out: &mut Vec<u8>) {
        for (before, place, column) in &self.shown {
            out.extend_from_slice(before);
            let buffer = if matches!(place, Place::Key(_)) { key } else { record };
            write_json(column, values.get(*place), buffer, out);
        }
        out.push(b'}');
    }
}

/// Writes a key. None if no row can have it.
fn write_key<'a>(
    given: impl Iterator<Item = &'a Given>,
    layout: &Layout,
    buffer: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    let values = layout.key().zip(given).map(|(column, given)| key_value(column, given, buffer));
    let values: Vec<Value> = values.collect::<Option<_>>()?;
    let mut key = Vec::with_capacity(buffer.len() + values.len());
    layout.write_key(values.into_iter(), buffer, &mut key);
    Some(key)
}

/// Whether values of a parameter are values of a column.
fn has_type(kind: &Type, column: &Column) -> bool {
    let same = Type::parse(&column_type(column)).is_ok_and(|wanted| wanted.bare().0 == kind.bare().0);
    same || (column.kind == Kind::Enum && matches!(kind.bare().0, Type::Enum(_)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dataset::Dataset;
    use crate::dataset::files::SqlFile;

    const SHIPPED: &str = include_str!("../../../queries/prices/endpoints/latest.sql");
    const COLUMNS: &[(&str, &str)] = &[("base", "LowCardinality(String)"), ("price", "Decimal(38, 18)")];

    /// Plans a changed `latest` of prices, whose SELECT has these columns.
    fn plan(change: impl Fn(&str) -> String, columns: &[(&str, &str)]) -> Result<Plan, String> {
        let file = SqlFile { path: "a.sql".to_owned(), name: "a".to_owned(), text: change(SHIPPED) };
        let endpoint = Endpoint::parse(&file).map_err(|fault| fault.to_string())?;
        let dataset = Arc::new(Dataset::read("prices", &[]).unwrap());
        let values = LastValues::new(&dataset, 1 << 20).unwrap();
        let column = |(name, kind): &(&str, &str)| ResultColumn {
            name: (*name).to_owned(),
            kind: Type::parse(kind).unwrap(),
        };
        let columns: Vec<ResultColumn> = columns.iter().map(column).collect();
        Plan::new(&endpoint, endpoint.latest.as_deref().unwrap(), &columns, &values)
    }

    #[test]
    fn the_shipped_endpoint_can_be_answered_from_memory() {
        let plan = plan(str::to_owned, COLUMNS).unwrap();
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(plan.values, [name("base"), name("quote"), name("exchange")]);
        assert_eq!(plan.list, name("pairs"));
    }

    #[test]
    fn what_cannot_be_answered_from_memory_is_refused_with_a_remedy() {
        let refused = |from: &str, to: &str| plan(|text| text.replace(from, to), COLUMNS).unwrap_err();
        for (found, expected) in [
            (
                refused("-- latest: base, ", "-- latest: bases, "),
                "latest names \"bases\", which is not a parameter",
            ),
            (refused("-- latest: base, ", "-- latest: "), "the parameter base is not in latest"),
            (
                refused(
                    "-- param limit     default=10000 Number of rows of a page\n-- page: base, quote, exchange\n",
                    "",
                ),
                "add a line -- page: base, quote, exchange",
            ),
            (refused("-- page: base, quote, exchange", "-- page: base, quote"), "add a line -- page: base"),
            (
                refused("-- page: base, quote, exchange", "-- page: base, quote, price"),
                "add a line -- page: base",
            ),
            (refused("{quote:Nullable(String)}", "{quote:Nullable(UInt8)}"), "but the column has String"),
            (
                refused("Tuple(String, String, String)", "Tuple(String, String)"),
                "the parameter pairs is neither",
            ),
            (
                refused("Array(Tuple(String, String, String))", "Array(String)"),
                "the parameter pairs is neither",
            ),
        ] {
            assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
        }
        let columns = |columns| plan(str::to_owned, columns).unwrap_err();
        for (found, expected) in [
            (columns(&[("base_", "String")]), "the schema has no column base_"),
            (columns(&[("price", "String")]), "the column price of the SELECT has the type String"),
            (columns(&[("price", "Nullable(Decimal(38, 18))")]), "columns are selected unchanged"),
        ] {
            assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
        }
    }
}
