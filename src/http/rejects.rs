//! `GET /uploads/{id}/rejects`, `GET /uploads/{id}/conflicts` and `POST /uploads/{id}/replay`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use axum::response::{IntoResponse, Response};

use super::body::{decompressed, explained, is_form, next_file, read_form};
use super::download::{
    Format, ListQuery, Pieces, csv_record, escape_formula, formula_starts, pieces, respond,
};
use super::form::NoFile;
use super::openapi::parameters::Id;
use super::openapi::problems;
use super::parameters::describe::text;
use super::parameters::file::{RowsQuery, waits_until_visible};
use super::parameters::values::{Value, flag};
use super::parameters::{Parameter, Query, query};
use super::problem::Problem;
use super::state::AppState;
use super::upload_view::{UploadView, names};
use super::uploads::{find, wait_until_visible};
use crate::ingest::column_names::ColumnNames;
use crate::ingest::column_names::plain_name;
use crate::ingest::records::RecordReader;
use crate::ingest::rows::ReadOptions;
use crate::ingest::upload::SHOWN_REJECTS;
use crate::warehouse::client::WarehouseError;
use crate::warehouse::rejects::{self, RejectRow, Rejected, StoredFault};
use crate::warehouse::upload_counts;
use crate::warehouse::uploads::{LedgerRow, LedgerState, Loaded};
use crate::warehouse::visibility;

/// How long a request waits for rejects that are still in the dead-letter topic, and how often it checks.
const LOADING_PATIENCE: Duration = Duration::from_secs(10);

query! {
    /// The parameters of `GET /uploads/{id}/rejects`.
    pub struct RejectsQuery {
        /// Only rows that have a fault with this code
        code: Option<String> = code(),
        /// Format of the list. Without it, the `Accept` header decides; without both it is CSV
        format: Option<Format> = Format::parameter(),
        /// List the rejects that a replay has produced, instead of the open ones
        replayed: bool = flag(),
        /// Put an apostrophe before each cell that a spreadsheet would read as a formula. For viewing only: do not upload that copy
        escape_formulas: bool = flag(),
    }
}

query! {
    /// The parameters of `POST /uploads/{id}/replay`.
    pub struct ReplayQuery {
        /// Only rows that have a fault with this code
        code: Option<String> = code(),
        rows: RowsQuery,
        /// When to answer: once Kafka has acknowledged every row, or once the rows are visible in the aggregates
        wait: bool = waits_until_visible(),
    }
}

/// The code of a fault.
fn code() -> Parameter<Option<String>> {
    let schema = text().pattern(Some("^[a-z0-9_]+$")).examples([json!("not_a_decimal")]);
    let is_of_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let code = Value::new(schema.min_length(Some(1)).max_length(Some(MAX_CODE)), move |text| {
        let is_code = (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(is_of_code);
        is_code
            .then(|| text.to_owned())
            .ok_or_else(|| "the code of a rejected row, such as not_a_decimal".to_owned())
    });
    code.optional()
}

/// Most characters of a code.
const MAX_CODE: usize = 64;

/// The columns that are added to those of the file.
const REJECT_COLUMNS: [&str; 7] = [
    "reject_line",
    "reject_byte_offset",
    "reject_column",
    "reject_code",
    "reject_reason",
    "reject_raw",
    "reject_faults",
];

/// List the rejected rows of an upload
///
/// As CSV, the file's own columns come first, so that the rows can be corrected and uploaded again.
#[utoipa::path(
    get, path = "/uploads/{id}/rejects", tag = "uploads", operation_id = "list_rejects", params(Id, RejectsQuery),
    responses(
        (status = 200, description = "All of them, ordered by line", content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String, description = "The file's name"))),
        problems::Rejects
    )
)]
pub async fn list(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(RejectsQuery { code, format, replayed, escape_formulas }): Query<RejectsQuery>,
) -> Result<Response, Problem> {
    let format = Format::of(format, &headers);
    let row = find(&state, &id).await?;
    wait_until_loaded(&state, &row).await?;
    let rejected = Rejected { upload_id: row.upload_id, code: code.as_deref(), replayed };
    let cursor = rejects::fetch(&state.warehouse, &rejected, u64::MAX)?;
    let writer = Writer { format, file: FileColumns::of(&row), escape_formulas };
    let start = writer.start();
    let pieces = pieces(cursor, start, move |reject, out| writer.write(reject, out));
    respond(&format!("rejects-{}", row.upload_id), format, pieces).await
}

/// Waits until the rejects of a finished upload are loaded.
async fn wait_until_loaded(state: &AppState, row: &LedgerRow) -> Result<(), Problem> {
    if row.state == LedgerState::Receiving || row.dead_letter_offsets.is_empty() {
        return Ok(());
    }
    let is_loaded = |loaded: &Loaded| loaded.has(&row.dead_letter_offsets, row.updated_at);
    let topic = &state.dataset().dead_letter_topic;
    if visibility::wait_until_loaded(&state.warehouse, topic, LOADING_PATIENCE, is_loaded).await? {
        return Ok(());
    }
    let detail = "the rejects of this upload are not all loaded yet; try again soon";
    Err(Problem::unavailable("rejects_not_loaded", detail, "the loader lags"))
}

/// The columns of the upload's file.
struct FileColumns {
    /// Without those that an earlier download has added: they are not added again.
    names: Vec<String>,
    delimiter: u8,
    /// The places of the names in a row, by the line of the header before it. 0: the first header.
    places: BTreeMap<u64, Vec<Option<usize>>>,
    /// The columns that the file calls by other names.
    mapped: ColumnNames,
}

impl FileColumns {
    fn of(row: &LedgerRow) -> Self {
        let delimiter = row.delimiter.bytes().next().unwrap_or(b',');
        let all = names(&row.header, delimiter).into_iter().enumerate();
        let (first, own): (Vec<_>, Vec<_>) = all.filter(|(_, name)| !Self::is_added(name)).unzip();
        let places_in = |header: &String| {
            let later: Vec<String> = names(header, delimiter).iter().map(|name| plain_name(name)).collect();
            own.iter().map(|name| later.iter().position(|other| *other == plain_name(name))).collect()
        };
        let changes = row.later_headers.changes.iter();
        let mut places: BTreeMap<_, _> = changes.map(|(line, header)| (*line, places_in(header))).collect();
        places.insert(0, first.into_iter().map(Some).collect());
        Self { names: own, delimiter, places, mapped: ColumnNames::stored(&row.columns) }
    }

    /// The name that the header has for a column, if `columns=` said that it is another one.
    fn field_of(&self, column: &str) -> Option<&str> {
        let name = self.mapped.name_of(column)?;
        let plain = plain_name(name);
        Some(self.names.iter().find(|other| plain_name(other) == plain).map_or(name, String::as_str))
    }

    /// Whether an earlier download added a column to the file.
    fn is_added(name: &str) -> bool {
        let name = name.trim().to_lowercase();
        REJECT_COLUMNS.contains(&name.as_str())
    }

    /// Splits a line into the file's columns as far as possible. Extra fields are only in `reject_raw`.
    fn fields(&self, line: u64, raw: &str) -> Vec<String> {
        let places = self.places.range(..line.max(1)).next_back().map_or(&[][..], |(_, places)| places);
        let mut reader = RecordReader::new(self.delimiter, usize::MAX);
        reader.buffer().extend_from_slice(raw.as_bytes());
        let record = reader.next(true).ok().flatten();
        let field = |at: usize| Some(String::from_utf8_lossy(record.as_ref()?.text(at)?).into_owned());
        places.iter().map(|place| place.and_then(field).unwrap_or_default()).collect()
    }
}

/// A rejected row, as NDJSON shows it.
#[derive(Serialize)]
struct Listed {
    line: u64,
    byte_offset: u64,
    column: String,
    /// The name that the file has for the column, if `columns=` said that it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    code: String,
    reason: String,
    faults: Vec<ListedFault>,
    raw: String,
}

/// A fault of a rejected row, as NDJSON shows it.
#[derive(Serialize)]
struct ListedFault {
    #[serde(flatten)]
    fault: StoredFault,
    /// As in [`Listed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Listed {
    fn of(reject: RejectRow, file: &FileColumns) -> Self {
        let field = |column: &str| file.field_of(column).map(str::to_owned);
        let faults =
            reject.faults().into_iter().map(|fault| ListedFault { field: field(&fault.column), fault });
        let faults = faults.collect();
        let RejectRow { line, byte_offset, column, code, reason, raw, .. } = reject;
        Self { line, byte_offset, field: field(&column), column, code, reason, faults, raw }
    }
}

/// All faults of a row in one field, with the columns as the file calls them: `game_id not_an_integer: not a whole number | user_id missing_value: a value is required`.
fn in_words(faults: &[StoredFault], file: &FileColumns) -> String {
    let in_words = |StoredFault { column, code, reason, .. }: &StoredFault| match column.as_str() {
        "" => format!("{code}: {reason}"),
        column => format!("{} {code}: {reason}", file.field_of(column).unwrap_or(column)),
    };
    faults.iter().map(in_words).collect::<Vec<_>>().join(" | ")
}

/// Writes rejected rows. As CSV: the file's own columns, to be corrected and uploaded again, then the added ones, which an upload
/// ignores.
struct Writer {
    format: Format,
    file: FileColumns,
    escape_formulas: bool,
}

impl Writer {
    /// A text of the file, as a spreadsheet or an upload gets it.
    fn escaped(&self, text: String) -> String {
        if self.escape_formulas { escape_formula(text) } else { text }
    }

    fn start(&self) -> Vec<u8> {
        let mut start = Vec::new();
        if self.format == Format::Csv {
            let own: Vec<String> = self.file.names.iter().map(|name| self.escaped(name.clone())).collect();
            csv_record(own.iter().map(String::as_str).chain(REJECT_COLUMNS), &mut start);
        }
        start
    }

    fn write(&self, reject: RejectRow, out: &mut Vec<u8>) {
        if self.format == Format::Ndjson {
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, &Listed::of(reject, &self.file));
            return out.push(b'\n');
        }
        let fields = self.file.fields(reject.line, &reject.raw);
        let mut fields: Vec<String> = fields.into_iter().map(|field| self.escaped(field)).collect();
        let faults = in_words(&reject.faults(), &self.file);
        let RejectRow { line, byte_offset, column, code, reason, raw, .. } = reject;
        // The columns before it have the names of the file, and one of these may be the name of another column.
        let column = self.file.field_of(&column).map(str::to_owned).unwrap_or(column);
        // An upload ignores these, so they are always safe for a spreadsheet.
        let [column, reason, raw, faults] = [column, reason, raw, faults].map(escape_formula);
        fields.extend([line.to_string(), byte_offset.to_string(), column, code, reason, raw, faults]);
        csv_record(fields.iter().map(String::as_str), out);
    }
}

/// List the rows of an upload that are stored with other values
///
/// Each field as sent, and as stored (`stored_…`). A row that is stored with the values that were sent, as after a repair, is not
/// listed.
#[utoipa::path(
    get, path = "/uploads/{id}/conflicts", tag = "uploads", operation_id = "list_conflicts", params(Id, ListQuery),
    responses(
        (status = 200, description = "All of them, ordered by line", content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String, description = "The file's name"))),
        problems::NoUpload
    )
)]
pub async fn conflicts(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(ListQuery { format, escape_formulas }): Query<ListQuery>,
) -> Result<Response, Problem> {
    let format = Format::of(format, &headers);
    let row = find(&state, &id).await?;
    let name = match format {
        Format::Csv => "CSVWithNames",
        Format::Ndjson => "JSONEachRow",
    };
    let formula_starts = formula_starts(escape_formulas && format == Format::Csv);
    let cursor =
        upload_counts::conflicts(&state.warehouse, state.dataset(), row.upload_id, name, &formula_starts)?;
    let pieces: Pieces = Box::pin(stream::try_unfold(cursor, async |mut cursor| {
        let piece = cursor.next().await.map_err(WarehouseError::from)?;
        Ok(piece.map(|piece| (piece, cursor)))
    }));
    respond(&format!("conflicts-{}", row.upload_id), format, pieces).await
}

/// Retry rejected rows
///
/// Without a file, retries the open rejects of the upload. With a file, retries its corrected rows; the column `reject_line` says which
/// reject each row corrects. The retried rows become an upload of their own. `replayed` rows are done, `still_rejected` rows stay open.
/// Without a file and without open rejects there is no upload; `state` is `nothing_to_replay`.
#[utoipa::path(
    post, path = "/uploads/{id}/replay", tag = "uploads", params(Id, ReplayQuery),
    responses((status = 200, description = "The receipt, or that there is nothing to retry", body = ReplayView), problems::Replay)
)]
pub async fn replay(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(ReplayQuery { code, rows, wait }): Query<ReplayQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Replay { code, read: rows.options(), waits: wait };
    let row = find(&state, &id).await?;
    if row.failure_code == "decimal_comma" && query.read.decimal.is_none() {
        let detail = "this upload was refused because its amounts have decimal commas; name the mark of its rows, comma or point";
        return Err(Problem::parameter("decimal", detail));
    }
    if row.state == LedgerState::Receiving {
        let detail = "this upload is still running; retry its rejects when it has ended";
        return Err(Problem::new(StatusCode::CONFLICT, "upload_under_way", detail));
    }
    wait_until_loaded(&state, &row).await?;
    if is_form(request.headers()) {
        let mut form = read_form(request)?;
        let file = next_file(&mut form, &state.stopping).await?;
        let body = match file {
            Some(_) => Some(form.boxed()),
            // The file is optional: a form in which none was chosen is like no body.
            None if *form.no_file() == NoFile::LeftEmpty => None,
            None => return Err(form.no_file().into()),
        };
        return replay_body(&state, &row, &query, body).await;
    }
    let (parts, body) = request.into_parts();
    let mut body = decompressed(&parts.headers, body, state.max_upload_bytes)?;
    let first = body.next().await;
    let body = first.map(|first| stream::once(std::future::ready(first)).chain(body).boxed());
    let replayed = replay_body(&state, &row, &query, body).await;
    replayed.map_err(|problem| explained(problem, &parts.headers))
}

/// The receipt of a replay.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ReplayView {
    Upload(Box<UploadView>),
    Nothing(NothingReplayed),
}

/// The upload has no open rejects. Nothing was produced.
#[derive(Debug, Serialize, ToSchema)]
pub struct NothingReplayed {
    state: NothingState,
    /// The upload that was to be replayed.
    replay_of: Uuid,
    replayed: u64,
    still_rejected: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum NothingState {
    NothingToReplay,
}

impl NothingReplayed {
    fn of(replay_of: Uuid) -> Self {
        Self { state: NothingState::NothingToReplay, replay_of, replayed: 0, still_rejected: 0 }
    }
}

/// Returns the first open rejects of an upload. None if they are not loaded yet, or ClickHouse does not answer: the list of them has
/// the same rows later.
pub async fn first_open(state: &AppState, row: &LedgerRow, wait: bool) -> Option<Vec<RejectRow>> {
    let found = async {
        let topic = &state.dataset().dead_letter_topic;
        if wait {
            wait_until_loaded(state, row).await?;
        } else if !Loaded::of_topic(&state.warehouse, topic)
            .await?
            .has(&row.dead_letter_offsets, row.updated_at)
        {
            return Ok(None);
        }
        let rejected = Rejected { upload_id: row.upload_id, code: None, replayed: false };
        let mut cursor = rejects::fetch(&state.warehouse, &rejected, SHOWN_REJECTS as u64)?;
        let mut rows = Vec::new();
        while let Some(row) = cursor.next().await.map_err(WarehouseError::from)? {
            rows.push(row);
        }
        Ok::<_, Problem>(Some(rows))
    };
    found.await.unwrap_or_else(|problem| {
        tracing::warn!(
            code = problem.code(),
            "the rejects of a known file are not shown: {}",
            problem.detail()
        );
        None
    })
}

/// The parameters of a replay.
struct Replay {
    code: Option<String>,
    read: ReadOptions,
    waits: bool,
}

async fn replay_body(
    state: &AppState,
    row: &LedgerRow,
    query: &Replay,
    mut body: Option<BoxStream<'_, std::io::Result<Bytes>>>,
) -> Result<Response, Problem> {
    if body.is_none() && query.read.encoding.is_some() {
        let detail =
            "it is the encoding of a file of corrected rows, and the request has no file; leave it out";
        return Err(Problem::parameter("encoding", detail));
    }
    let replayed = state
        .uploader
        .replay(&state.warehouse, row, query.code.as_deref(), query.read.clone(), body.as_mut())
        .await?;
    drop(body);
    let Some(replayed) = replayed else {
        return Ok(Json(NothingReplayed::of(row.upload_id)).into_response());
    };
    let finished = replayed.finished;
    let seen = if query.waits { wait_until_visible(state, &finished.row).await? } else { None };
    let mut view = UploadView::of(&finished.row, state.uploader.columns()).with_rejects(finished.rejects);
    view.replayed = Some(replayed.lines);
    view.still_rejected = Some(finished.row.rejected);
    Ok(Json(json!(view.seen(seen))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(escape_formulas: bool) -> Writer {
        writer_of("Id;Name;reject_line", escape_formulas)
    }

    fn writer_of(header: &str, escape_formulas: bool) -> Writer {
        let row = LedgerRow { header: header.to_owned(), delimiter: ";".to_owned(), ..LedgerRow::default() };
        Writer { format: Format::Csv, file: FileColumns::of(&row), escape_formulas }
    }

    fn reject(raw: &str, faults: &str) -> RejectRow {
        RejectRow {
            line: 3,
            byte_offset: 40,
            column: "id".to_owned(),
            code: "not_an_integer".to_owned(),
            reason: "why".to_owned(),
            faults: faults.to_owned(),
            raw: raw.to_owned(),
        }
    }

    fn written(writer: &Writer, raw: &str) -> String {
        let mut out = writer.start();
        writer.write(reject(raw, ""), &mut out);
        String::from_utf8(out).unwrap()
    }

    const HEADER: &str = "Id,Name,reject_line,reject_byte_offset,reject_column,reject_code,reject_reason,reject_raw,reject_faults\n";

    #[test]
    fn a_line_is_split_into_the_columns_of_its_file() {
        assert_eq!(
            written(&writer(false), "x;\"a;\"\"b\"\"\n\";2"),
            format!(
                "{HEADER}x,\"a;\"\"b\"\"\n\",3,40,id,not_an_integer,why,\"x;\"\"a;\"\"\"\"b\"\"\"\"\n\"\";2\",id not_an_integer: why\n"
            )
        );
        assert_eq!(
            written(&writer(false), "x"),
            format!("{HEADER}x,,3,40,id,not_an_integer,why,x,id not_an_integer: why\n")
        );
        assert_eq!(
            written(&writer(false), "x;y;z;4;5"),
            format!("{HEADER}x,y,3,40,id,not_an_integer,why,x;y;z;4;5,id not_an_integer: why\n")
        );
    }

    #[test]
    fn column_names_are_escaped_with_the_fields() {
        let names = "=Id;\"\n@name\";＝x";
        let header = |names| HEADER.replace("Id,Name", names);
        let reject = "3,40,id,not_an_integer,why,a,id not_an_integer: why\n";
        assert_eq!(
            written(&writer_of(names, true), "a"),
            format!("{}a,,,{reject}", header("'=Id,\"'\n@name\",'＝x"))
        );
        assert_eq!(
            written(&writer_of(names, false), "a"),
            format!("{}a,,,{reject}", header("=Id,\"\n@name\",＝x"))
        );
    }

    #[test]
    fn a_formula_is_unchanged_in_a_list_that_is_uploaded_again() {
        assert_eq!(
            written(&writer(false), "=1+1;@x"),
            format!("{HEADER}=1+1,@x,3,40,id,not_an_integer,why,'=1+1;@x,id not_an_integer: why\n")
        );
        assert_eq!(
            written(&writer(true), "=1+1;@x"),
            format!("{HEADER}'=1+1,'@x,3,40,id,not_an_integer,why,'=1+1;@x,id not_an_integer: why\n")
        );
    }

    #[test]
    fn all_faults_of_a_line_are_in_one_field_and_a_line_without_them_has_its_first() {
        let reject = |faults: &str| reject("x", faults);
        let all = r#"[{"column":"id","code":"not_an_integer","reason":"why","value":"x"},{"column":"","code":"b","reason":"c","value":"d"}]"#;
        let file = writer(false).file;
        assert_eq!(in_words(&reject(all).faults(), &file), "id not_an_integer: why | b: c");
        for unknown in ["", "[]", "no JSON", r#"[{"column":1}]"#] {
            assert_eq!(in_words(&reject(unknown).faults(), &file), "id not_an_integer: why", "{unknown}");
        }
        assert_eq!(json!(Listed::of(reject(all), &file))["faults"][0]["value"], "x");
    }

    #[test]
    fn a_fault_in_a_column_with_another_name_names_the_field_of_the_file() {
        let row = LedgerRow {
            header: "Name;Id".to_owned(),
            delimiter: ";".to_owned(),
            columns: "id:name,name:id".to_owned(),
            ..LedgerRow::default()
        };
        let writer = Writer { format: Format::Csv, file: FileColumns::of(&row), escape_formulas: false };
        let header = HEADER.replace("Id,Name", "Name,Id");
        assert_eq!(
            written(&writer, "x;a"),
            format!("{header}x,a,3,40,Name,not_an_integer,why,x;a,Name not_an_integer: why\n")
        );
        let listed = json!(Listed::of(reject("x;a", ""), &writer.file));
        for fault in [&listed, &listed["faults"][0]] {
            assert_eq!((&fault["column"], &fault["field"]), (&json!("id"), &json!("Name")));
        }
    }
}
