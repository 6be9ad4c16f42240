//! An endpoint: one SQL file with a comment, served over HTTP. The comment states title, parameters, pages and the rest. docs/DATASETS.md
//! is the reference.

mod check;
mod header;
mod number;
pub mod parameter;
pub mod path;
pub mod plot;
mod statement;
mod time;
pub mod types;
pub mod value;

use std::time::Duration;

pub use self::check::Expectation;
use self::header::{Directive, Header, without_remark};
pub use self::number::Number;
use self::parameter::{Line, Parameter, is_name};
use self::path::Alias;
use self::plot::Plot;
use self::statement::{Mistake, Placeholder, Statement};
use self::types::Type;
use super::fault::{FileFault, line_of};
use super::files::SqlFile;

/// The parameter with the number of rows of a page.
pub const LIMIT: &str = "limit";

/// Most rows of a page, and those without `limit`.
const MAX_LIMIT: u64 = 10_000;
const DEFAULT_LIMIT: u64 = 100;

/// The longest time for which an answer may be kept.
const MAX_CACHE: Duration = Duration::from_secs(86_400);

/// A query that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The path of its file, for messages.
    pub file: String,
    pub name: String,
    /// One line.
    pub title: String,
    /// May be empty.
    pub description: String,
    pub aliases: Vec<Alias>,
    pub parameters: Vec<Parameter>,
    pub page: Option<Page>,
    /// For how long an answer may be kept.
    pub cache: Option<Duration>,
    pub answer: Answer,
    pub plot: Option<Plot>,
    /// What a check expects. None: it is an endpoint of the folder `endpoints`.
    pub check: Option<Expectation>,
    /// The parameters that name keys of `[latest]`. None: all rows come from ClickHouse.
    pub latest: Option<Vec<String>>,
    /// The SELECT, without comment and semicolon.
    pub statement: String,
    /// The line at which it begins.
    pub statement_line: usize,
    /// The lines of `page`, `plot` and `latest`, for messages.
    page_line: usize,
    plot_line: usize,
    latest_line: usize,
}

/// The order of the rows, of which each page has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub columns: Vec<PageColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageColumn {
    pub name: String,
    pub is_descending: bool,
}

/// What an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    List,
    /// One row, as an object.
    One,
}

impl Endpoint {
    /// Reads the file of an endpoint.
    ///
    /// # Errors
    /// It has a mistake.
    pub fn parse(file: &SqlFile) -> Result<Self, FileFault> {
        let fault = |mistake: Mistake| FileFault::at(&file.path, &file.text, mistake.byte, mistake.message);
        Reader { file }.endpoint().map_err(fault)
    }

    /// Reads the file of a check: an endpoint without parameters, whose comment may say what it expects.
    ///
    /// # Errors
    /// It has a mistake.
    pub fn parse_check(file: &SqlFile) -> Result<Self, FileFault> {
        let fault = |mistake: Mistake| FileFault::at(&file.path, &file.text, mistake.byte, mistake.message);
        Reader { file }.check().map_err(fault)
    }

    /// Returns a fault in the statement.
    pub fn fault(&self, message: impl Into<String>) -> FileFault {
        FileFault::new(&self.file, self.statement_line, message)
    }

    /// Returns a fault in `latest`.
    pub fn latest_fault(&self, message: impl Into<String>) -> FileFault {
        FileFault::new(&self.file, self.latest_line, message)
    }

    /// Returns the names of all parameters, with those that every endpoint has.
    pub fn known_parameters(&self) -> impl Iterator<Item = &str> {
        let own = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let cursor = self.page.as_ref().map(|_| "cursor");
        let drawn = self.plot.iter().flat_map(|_| ["width", "height", "theme"]);
        own.chain(cursor).chain(["format", "escape_formulas"]).chain(drawn)
    }

    /// Checks the columns that page and plot name against those of the result.
    ///
    /// # Errors
    /// One does not exist, or cannot be used so.
    pub fn check_columns(&self, columns: &[(String, Type)]) -> Result<(), FileFault> {
        let find = |name: &str, line: usize| match columns.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => Ok(kind),
            None => {
                let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
                Err(FileFault::new(&self.file, line, no_column(name, &known)))
            }
        };
        for column in self.page.iter().flat_map(|page| &page.columns) {
            let name = &column.name;
            check_page_column(name, find(name, self.page_line)?)
                .map_err(|message| FileFault::new(&self.file, self.page_line, message))?;
        }
        for name in self.plot.iter().flat_map(Plot::columns) {
            find(name, self.plot_line)?;
        }
        Ok(())
    }
}

fn no_column(name: &str, known: &[&str]) -> String {
    format!("the SELECT has no column {name}; use one of {}", known.join(", "))
}

/// The rows before and after a page are found by comparison, so each value must have a place in the order.
fn check_page_column(name: &str, kind: &Type) -> Result<(), String> {
    match kind {
        Type::Nullable(_) => Err(format!(
            "the column {name} of page is Nullable and NULL has no place in the order; use another column, or assumeNotNull()"
        )),
        Type::LowCardinality(inner) => check_page_column(name, inner),
        Type::Float(_) | Type::Array(_) | Type::Tuple(_) | Type::Map(..) | Type::Enum(_) | Type::Other(_) => {
            Err(format!(
                "the column {name} of page has the type {kind}; use numbers without fractions, text, dates or times"
            ))
        }
        _ => Ok(()),
    }
}

/// Reads an endpoint from its file.
struct Reader<'a> {
    file: &'a SqlFile,
}

impl Reader<'_> {
    fn endpoint(&self) -> Result<Endpoint, Mistake> {
        let text = &self.file.text;
        check_name(&self.file.name)?;
        let header = Header::parse(text)?;
        header.check_known(&KNOWN)?;
        let statement = Statement::parse(text)?;
        let page = once(&header, "page")?;
        let parameters = parameters(&header, &statement, page.is_some())?;
        let answer = match once(&header, "answer")? {
            None => Answer::List,
            Some(directive) if without_remark(&directive.value) == "one" => Answer::One,
            Some(directive) => {
                return Err(Mistake::new(
                    directive.byte,
                    "the only value of answer is one; without it, the answer is a list",
                ));
            }
        };
        let plot = once(&header, "plot")?;
        let latest = once(&header, "latest")?;
        if let (Answer::One, Some(other)) = (answer, page.or(plot)) {
            let message = format!("answer: one returns one row; remove {}", other.name);
            return Err(Mistake::new(other.byte, message));
        }
        let line = |directive: Option<&Directive>| directive.map_or(1, |one| line_of(text, one.byte));
        let alias = |directive: &Directive| {
            let path = without_remark(&directive.value);
            let alias = Alias::parse(path, &parameters, line(Some(directive)));
            alias.map_err(|message| Mistake::new(directive.byte, message))
        };
        let aliases =
            header.directives.iter().filter(|one| one.name == "path").map(alias).collect::<Result<_, _>>()?;
        Ok(Endpoint {
            file: self.file.path.clone(),
            name: self.file.name.clone(),
            aliases,
            page: page.map(|directive| read_page(directive, &statement)).transpose()?,
            cache: once(&header, "cache")?.map(read_cache).transpose()?,
            answer,
            plot: plot.map(|directive| read_plot(directive, &statement)).transpose()?,
            check: None,
            statement: text.get(statement.start..statement.end).unwrap_or_default().to_owned(),
            statement_line: line_of(text, statement.start),
            latest: latest.map(|directive| read_latest(directive, &parameters)).transpose()?,
            page_line: line(page),
            plot_line: line(plot),
            latest_line: line(latest),
            parameters,
            title: header.title.clone(),
            description: header.description.clone(),
        })
    }
}

/// The directives.
const KNOWN: [&str; 7] = ["path", "param", "page", "cache", "answer", "plot", "latest"];

fn check_name(name: &str) -> Result<(), Mistake> {
    check_letters(name)?;
    if path::RESERVED.contains(&name) {
        let message = format!("every dataset has {name} already; give the file another name");
        return Err(Mistake::new(0, message));
    }
    Ok(())
}

fn check_letters(name: &str) -> Result<(), Mistake> {
    if is_name(name) {
        return Ok(());
    }
    let message = "the name of the file is part of its path; use up to 48 lower case letters, digits and _, first a letter";
    Err(Mistake::new(0, message))
}

/// Returns a directive that may be given once.
fn once<'a>(header: &'a Header, name: &str) -> Result<Option<&'a Directive>, Mistake> {
    let mut all = header.directives.iter().filter(|directive| directive.name == name);
    let first = all.next();
    match all.next() {
        Some(second) => Err(Mistake::new(second.byte, format!("{name} may be given only once; remove one"))),
        None => Ok(first),
    }
}

fn parameters(header: &Header, statement: &Statement, has_pages: bool) -> Result<Vec<Parameter>, Mistake> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for directive in header.directives.iter().filter(|directive| directive.name == "param") {
        let parameter = read_parameter(directive, &statement.placeholders, has_pages)
            .map_err(|message| Mistake::new(directive.byte, message))?;
        if parameters.iter().any(|other| other.name == parameter.name) {
            let message = format!("parameter {} has two lines; remove one", parameter.name);
            return Err(Mistake::new(directive.byte, message));
        }
        parameters.push(parameter);
    }
    let is_undescribed =
        |placeholder: &&Placeholder| !parameters.iter().any(|one| one.name == placeholder.name);
    if let Some(placeholder) = statement.placeholders.iter().find(is_undescribed) {
        let name = &placeholder.name;
        let message =
            format!("placeholder {name} has no description; add a line -- param {name} required What it is");
        return Err(Mistake::new(placeholder.byte, message));
    }
    if has_pages && !parameters.iter().any(|parameter| parameter.name == LIMIT) {
        let line = format!("{LIMIT} default={DEFAULT_LIMIT} Number of rows of a page");
        parameters.push(limit(&line).map_err(|message| Mistake::new(0, message))?);
    }
    Ok(parameters)
}

fn read_parameter(
    directive: &Directive,
    placeholders: &[Placeholder],
    has_pages: bool,
) -> Result<Parameter, String> {
    let line = Line::parse(&directive.value)?;
    let name = &line.name;
    if parameter::RESERVED.contains(&name.as_str()) {
        return Err(format!("every endpoint has a parameter {name}; use another name"));
    }
    let placeholder = placeholders.iter().find(|placeholder| placeholder.name == *name);
    match placeholder {
        _ if has_pages && name == LIMIT => limit(&directive.value),
        Some(placeholder) => Parameter::new(line, placeholder.kind.clone(), true),
        None => {
            Err(format!("the statement has no placeholder {{{name}:Type}}; add it, or remove the parameter"))
        }
    }
}

/// Reads the parameter with the number of rows of a page.
fn limit(text: &str) -> Result<Parameter, String> {
    let mut line = Line::parse(text)?;
    line.minimum.get_or_insert_with(|| "1".to_owned());
    line.maximum.get_or_insert_with(|| MAX_LIMIT.to_string());
    let parameter = Parameter::new(line, Type::Integer { is_signed: false, bits: 32 }, false)?;
    let most = Number::whole(MAX_LIMIT);
    if parameter.maximum.as_ref().is_some_and(|maximum| *maximum > most)
        || parameter.minimum.as_ref().is_some_and(|minimum| *minimum < Number::whole(1))
    {
        return Err(format!("a page has 1 to {MAX_LIMIT} rows; change min or max"));
    }
    Ok(parameter)
}

fn read_page(directive: &Directive, statement: &Statement) -> Result<Page, Mistake> {
    let fault = |message: String| Mistake::new(directive.byte, message);
    let mut columns: Vec<PageColumn> = Vec::new();
    for text in without_remark(&directive.value).split(',') {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let is_descending = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => {
                return Err(fault(
                    "only asc or desc may follow a column of page; separate columns with commas".to_owned(),
                ));
            }
        };
        if !is_name(name) {
            return Err(fault(format!(
                "{name:?} is not a column; write page: column, column desc, and name columns with AS"
            )));
        }
        if columns.iter().any(|other| other.name == name) {
            return Err(fault(format!("page names {name} twice; remove one")));
        }
        columns.push(PageColumn { name: name.to_owned(), is_descending });
    }
    check_names(statement, columns.iter().map(|column| column.name.as_str())).map_err(fault)?;
    if let Some(byte) = statement.limit {
        let message = "the server adds the LIMIT of each page; remove LIMIT, or remove page";
        return Err(Mistake::new(byte, message));
    }
    if let Some(placeholder) = statement.placeholders.iter().find(|placeholder| placeholder.name == LIMIT) {
        let message = "with page, limit is the number of rows of a page; use another name here";
        return Err(Mistake::new(placeholder.byte, message));
    }
    Ok(Page { columns })
}

/// Reads the names of the parameters that name keys.
fn read_latest(directive: &Directive, parameters: &[Parameter]) -> Result<Vec<String>, Mistake> {
    let fault = |message: String| Mistake::new(directive.byte, message);
    let text = without_remark(&directive.value);
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if let Some(unknown) = names.iter().find(|name| !parameters.iter().any(|one| one.name == **name)) {
        return Err(fault(format!(
            "latest names {unknown:?}, which is not a parameter; name parameters, with commas between"
        )));
    }
    let is_left_out = |parameter: &&Parameter| parameter.is_bound && !names.contains(&parameter.name);
    match parameters.iter().find(is_left_out) {
        Some(other) => Err(fault(format!(
            "the parameter {} is not in latest; with latest, all parameters but limit select keys: add it, or remove the parameter",
            other.name
        ))),
        None => Ok(names),
    }
}

fn read_plot(directive: &Directive, statement: &Statement) -> Result<Plot, Mistake> {
    let fault = |message: String| Mistake::new(directive.byte, message);
    let plot = Plot::parse(&directive.value).map_err(fault)?;
    check_names(statement, plot.columns()).map_err(fault)?;
    Ok(plot)
}

/// Checks that the SELECT has these columns, if the text says which it has.
fn check_names<'a>(statement: &Statement, mut names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let Some(columns) = &statement.columns else { return Ok(()) };
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    match names.find(|name| !known.contains(name)) {
        Some(name) => Err(no_column(name, &known)),
        None => Ok(()),
    }
}

fn read_cache(directive: &Directive) -> Result<Duration, Mistake> {
    let text = without_remark(&directive.value);
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let duration = number
        .parse::<u64>()
        .ok()
        .zip(milliseconds)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .map(Duration::from_millis)
        .filter(|duration| !duration.is_zero() && *duration <= MAX_CACHE);
    duration.ok_or_else(|| {
        Mistake::new(
            directive.byte,
            format!("cache is a time such as 500ms, 1s, 5m or 1h, at most 24h, not {text:?}"),
        )
    })
}

#[cfg(test)]
mod tests;
