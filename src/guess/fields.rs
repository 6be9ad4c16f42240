//! The fields of a file's first rows, and what their values show.

use std::collections::{BTreeMap, HashMap};

use super::evidence::Evidence;
use super::objects::members;
use super::{GuessError, LeftOut, MAX_ROWS};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::Clock;
use crate::ingest::FileError;
use crate::ingest::column_names::plain_name;
use crate::ingest::first_rows::{Cell, FirstRow, FirstRows};
use crate::ingest::records::{Fields as Header, Record};

/// Longest row.
pub(super) const MAX_ROW_BYTES: usize = 512 << 10;

/// Most columns.
const MAX_COLUMNS: usize = 500;

/// Rows of the sample.
const SAMPLE_ROWS: usize = 100;

/// A field of a file.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in the header, or the names from the outside in.
    pub(super) place: Vec<String>,
    pub(super) evidence: Evidence,
}

/// The first rows as a file of their own, in UTF-8.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Of the file's name.
    pub extension: &'static str,
    pub text: String,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) list: Vec<Field>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) rows: u64,
    pub(super) is_json: bool,
    pub(super) delimiter: Option<u8>,
    pub(super) encoding: &'static str,
    pub(super) sample: Sample,
}

impl Fields {
    /// # Errors
    /// The bytes are not text, have no header or no row, or too many columns.
    pub(super) fn read(head: &[u8], is_whole: bool) -> Result<Self, GuessError> {
        if head.trim_ascii().is_empty() {
            return Err(GuessError::Empty);
        }
        let mut rows = FirstRows::open(head, is_whole, MAX_ROW_BYTES).map_err(|error| match error {
            FileError::Empty { .. } => GuessError::Empty,
            error => error.into(),
        })?;
        let encoding = rows.encoding();
        let header = rows.header().map(|(header, delimiter)| (header.clone(), delimiter));
        let fields = match header {
            Some((header, delimiter)) => of_csv(&mut rows, &header, delimiter, encoding)?,
            None => of_json(&mut rows, encoding)?,
        };
        match fields.rows {
            0 => Err(GuessError::NoRows),
            _ if fields.list.is_empty() => Err(GuessError::NoColumns),
            _ if fields.list.len() > MAX_COLUMNS => Err(GuessError::TooManyColumns { most: MAX_COLUMNS }),
            _ => Ok(fields),
        }
    }

    /// Returns the decimal mark: a comma if amounts can only be read with one.
    pub(super) fn mark(&self) -> DecimalMark {
        // Between commas a comma rather separates thousands.
        if self.is_json || self.delimiter == Some(b',') {
            return DecimalMark::Point;
        }
        let has = |only: fn(&Evidence) -> bool| self.list.iter().any(|field| only(&field.evidence));
        let needs_comma =
            has(|one| one.values > 0 && one.comma.are_all && one.comma.scale > 0 && !one.point.are_all);
        let needs_point =
            has(|one| one.values > 0 && one.point.are_all && one.point.scale > 0 && !one.comma.are_all);
        if needs_comma && !needs_point { DecimalMark::Comma } else { DecimalMark::Point }
    }
}

fn of_csv(
    rows: &mut FirstRows,
    header: &Header,
    delimiter: u8,
    encoding: &'static str,
) -> Result<Fields, GuessError> {
    let names: Vec<String> = header.texts.iter().map(|name| plain_name(name)).collect();
    if !names.iter().any(|name| name.contains(char::is_alphabetic)) {
        return Err(GuessError::NoHeader { line: header.raw.chars().take(120).collect() });
    }
    let mut left_out = Vec::new();
    let mut kept: Vec<(usize, Field)> = Vec::new();
    for (at, (name, text)) in names.iter().zip(&header.texts).enumerate() {
        let is_unnamed_end = name.is_empty() && at + 1 == names.len();
        if names.iter().filter(|other| *other == name).count() > 1 && !name.is_empty() {
            let reason = "the header has this name more than once; rename one of the fields";
            left_out.push(LeftOut { name: text.clone(), reason });
        } else if name.is_empty() && !is_unnamed_end {
            let reason = "it has no name in the header; name it";
            left_out.push(LeftOut { name: format!("field {}", at + 1), reason });
        } else if !name.is_empty() {
            let place = vec![crate::ingest::column_names::trimmed(text).to_owned()];
            kept.push((at, Field { place, evidence: Evidence::new() }));
        }
    }
    let mut sample = Vec::new();
    if !matches!(delimiter, b',' | b';' | b'\t') {
        sample.push(format!("sep={}", char::from(delimiter)));
    }
    sample.push(header.raw.trim_start_matches('\u{feff}').to_owned());
    let head_lines = sample.len();
    let (mut clock, mut count) = (Clock::default(), 0);
    while let Some((row, raw)) = rows.next_row()? {
        let FirstRow::Record(record) = row else { break };
        see_record(&mut kept, &record, &mut clock);
        if sample.len() < SAMPLE_ROWS + head_lines {
            sample.push(String::from_utf8_lossy(raw).into_owned());
        }
        count += 1;
        if count == MAX_ROWS {
            break;
        }
    }
    let sample = Sample { extension: "csv", text: sample.join("\n") + "\n" };
    let list = kept.into_iter().map(|(_, field)| field).collect();
    Ok(Fields { list, left_out, rows: count, is_json: false, delimiter: Some(delimiter), encoding, sample })
}

fn see_record(fields: &mut [(usize, Field)], record: &Record<'_>, clock: &mut Clock) {
    for (at, field) in fields {
        field.evidence.see(record.text(*at).map(Cell::Field), clock);
    }
}

fn of_json(rows: &mut FirstRows, encoding: &'static str) -> Result<Fields, GuessError> {
    let mut found = Members::default();
    let mut sample = Vec::new();
    while let Some((row, raw)) = rows.next_row()? {
        let FirstRow::Object(object) = row else { break };
        // A row that is no object is rejected by an upload.
        if !found.see(object)? {
            continue;
        }
        if sample.len() < SAMPLE_ROWS {
            sample.push(String::from_utf8_lossy(raw).into_owned());
        }
        if found.rows == MAX_ROWS {
            break;
        }
    }
    let (list, left_out) = found.sorted_out();
    let are_lines = sample.iter().all(|row| !row.contains(['\n', '\r']));
    let sample = match are_lines {
        true => Sample { extension: "ndjson", text: sample.join("\n") + "\n" },
        false => Sample { extension: "json", text: format!("[\n{}\n]\n", sample.join(",\n")) },
    };
    Ok(Fields { list, left_out, rows: found.rows, is_json: true, delimiter: None, encoding, sample })
}

/// The members of JSON objects.
#[derive(Default)]
struct Members {
    list: Vec<Field>,
    /// Where a place is in the list.
    places: HashMap<Vec<String>, usize>,
    /// For each field, the number of the last row that had it.
    last_rows: Vec<u64>,
    rows: u64,
    clock: Clock,
}

impl Members {
    /// Looks at a row. Returns whether it is an object.
    fn see(&mut self, object: &str) -> Result<bool, GuessError> {
        let row = self.rows + 1;
        let is_object = members(object, &mut |place, raw| {
            let at = match self.places.get(place) {
                Some(at) => *at,
                None if self.list.len() > MAX_COLUMNS => return,
                None => {
                    let mut evidence = Evidence::new();
                    evidence.nulls = self.rows;
                    self.list.push(Field { place: place.to_vec(), evidence });
                    self.last_rows.push(0);
                    self.places.insert(place.to_vec(), self.list.len() - 1);
                    self.list.len() - 1
                }
            };
            if let (Some(field), Some(last)) = (self.list.get_mut(at), self.last_rows.get_mut(at))
                && *last != row
            {
                *last = row;
                field.evidence.see(Some(Cell::Json(raw)), &mut self.clock);
            }
        });
        if is_object.is_err() {
            return Ok(false);
        }
        self.rows = row;
        for (field, _) in self.list.iter_mut().zip(&self.last_rows).filter(|(_, last)| **last != row) {
            field.evidence.see(None, &mut self.clock);
        }
        Ok(true)
    }

    /// Separates the fields that cannot be columns.
    fn sorted_out(&mut self) -> (Vec<Field>, Vec<LeftOut>) {
        let places: BTreeMap<Vec<String>, u64> =
            self.list.iter().map(|field| (field.place.clone(), field.evidence.values)).collect();
        let is_inside =
            |outer: &[String], inner: &[String]| inner.len() > outer.len() && inner.starts_with(outer);
        let (mut list, mut left_out) = (Vec::new(), Vec::new());
        for field in self.list.drain(..) {
            let has_members = places.keys().any(|other| is_inside(&field.place, other));
            let is_in_value =
                places.iter().any(|(other, values)| *values > 0 && is_inside(other, &field.place));
            let name = field.place.join(".");
            if field.place.iter().any(|name| name.trim().is_empty()) {
                left_out.push(LeftOut { name, reason: "its name is empty; name it" });
            } else if is_in_value || (has_members && field.evidence.values > 0) {
                let reason = "it is an object in some rows and a value in others; use one of them";
                left_out.push(LeftOut { name, reason });
            } else if !has_members {
                list.push(field);
            }
        }
        (list, left_out)
    }
}
