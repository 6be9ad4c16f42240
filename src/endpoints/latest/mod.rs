//! Answers requests from the last values in memory, with the same bytes that ClickHouse would send.
//!
//! The line `latest` of an endpoint's file says that its statement returns the last row of each key, filtered by its parameters: values of key
//! columns, and a list of keys. A request that names keys is then answered from memory. The statement answers all others, and all
//! while the rows are not up to date.

mod compare;
mod key_value;
mod plan;
mod write;

use std::sync::Arc;

use self::plan::Plan;
use super::Column;
use super::arguments::Arguments;
use crate::dataset::endpoint::Endpoint;
use crate::dataset::fault::FileFault;
use crate::latest::layout::RowValues;
use crate::latest::values::LastValues;

/// How an endpoint is answered from memory.
#[derive(Clone, Debug)]
pub struct Answering {
    values: Arc<LastValues>,
    plan: Plan,
}

/// The rows of an answer in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    pub count: usize,
    /// Objects, with commas between.
    pub text: String,
}

impl Answering {
    /// None if the endpoint has no line `latest`.
    ///
    /// # Errors
    /// The line cannot be used with the dataset, the parameters or the columns.
    pub(super) fn of(
        endpoint: &Endpoint,
        columns: &[Column],
        values: Option<&Arc<LastValues>>,
    ) -> Result<Option<Self>, FileFault> {
        let Some(names) = &endpoint.latest else { return Ok(None) };
        let no_section =
            || endpoint.latest_fault("dataset.toml has no section [latest]; add it, or remove this line");
        let values = values.ok_or_else(no_section)?;
        let plan = Plan::new(endpoint, names, columns, values);
        let plan = plan.map_err(|message| endpoint.latest_fault(message))?;
        Ok(Some(Self { values: Arc::clone(values), plan }))
    }

    /// Returns the rows of a request. None if ClickHouse must answer: the request names no keys, the rows do not fit a page, or memory does
    /// not have them.
    pub fn rows(&self, arguments: &Arguments) -> Option<Rows> {
        let layout = &self.values.layout;
        let keys = self.plan.keys(arguments, layout)?;
        let found = self.values.read(keys.iter().map(Vec::as_slice))?;
        let mut rows = Vec::with_capacity(keys.len());
        for (key, record) in found.rows() {
            let mut values = RowValues::default();
            layout.read(key, record, &mut values)?;
            rows.push((key, record, values));
        }
        if arguments.limit.is_some_and(|limit| rows.len() as u64 > limit) {
            return None;
        }
        rows.sort_by(|(one_key, _, one), (other_key, _, other)| {
            self.plan.compare((one, one_key), (other, other_key))
        });
        let mut text = Vec::with_capacity(rows.len() * 2 * self.plan.least_bytes());
        for (at, (key, record, values)) in rows.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            self.plan.write(values, key, record, &mut text);
        }
        Some(Rows { count: rows.len(), text: String::from_utf8(text).ok()? })
    }
}
