//! A check: a query that verifies the data. It is an endpoint without parameters, and may say how many rows it expects.

use super::header::{Header, without_remark};
use super::statement::{Mistake, Statement};
use super::{Answer, Endpoint, Reader, check_letters, once};
use crate::dataset::fault::line_of;

/// The directives.
const KNOWN: [&str; 1] = ["expect"];

/// How many rows a check expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Any number: the rows are only shown.
    Any,
    /// Each row is a fault.
    NoRows,
    /// At least one.
    Rows,
}

impl Expectation {
    const NAMED: [(&str, Self); 2] = [("no rows", Self::NoRows), ("rows", Self::Rows)];

    /// Returns what the file says. None: nothing.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.into_iter().find(|(_, expectation)| *expectation == self).map(|(name, _)| name)
    }

    /// Says whether a check passes. None: it expects nothing.
    pub fn is_met(self, has_rows: bool) -> Option<bool> {
        match self {
            Self::Any => None,
            Self::NoRows => Some(!has_rows),
            Self::Rows => Some(has_rows),
        }
    }
}

impl Reader<'_> {
    pub(super) fn check(&self) -> Result<Endpoint, Mistake> {
        let text = &self.file.text;
        check_letters(&self.file.name)?;
        let header = Header::parse(text)?;
        header.check_known(&KNOWN)?;
        let statement = Statement::parse(text)?;
        if let Some(placeholder) = statement.placeholders.first() {
            let message = format!(
                "a check has no parameters; write a value instead of the placeholder {}",
                placeholder.name
            );
            return Err(Mistake::new(placeholder.byte, message));
        }
        let check = match once(&header, "expect")? {
            None => Expectation::Any,
            Some(directive) => {
                let value = without_remark(&directive.value);
                let named = Expectation::NAMED.into_iter().find(|(name, _)| *name == value);
                named.map(|(_, expectation)| expectation).ok_or_else(|| {
                    let message = format!(
                        "expect is no rows, or rows, not {value:?}; without it, the rows are only shown"
                    );
                    Mistake::new(directive.byte, message)
                })?
            }
        };
        Ok(Endpoint {
            file: self.file.path.clone(),
            name: self.file.name.clone(),
            aliases: Vec::new(),
            parameters: Vec::new(),
            page: None,
            cache: None,
            answer: Answer::List,
            plot: None,
            check: Some(check),
            statement: text.get(statement.start..statement.end).unwrap_or_default().to_owned(),
            statement_line: line_of(text, statement.start),
            page_line: 1,
            plot_line: 1,
            latest: None,
            latest_line: 1,
            title: header.title,
            description: header.description,
        })
    }
}
