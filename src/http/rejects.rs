//! `GET /uploads/{id}/rejects`, `GET /uploads/{id}/conflicts` and `POST /uploads/{id}/replay`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use serde_json::json;

use axum::response::{IntoResponse, Response};

use super::body::{decimal_parameter, decompressed, is_form, next_file, no_file, read_form};
use super::download::{Format, Pieces, csv_record, escape_formula, pieces, respond};
use super::openapi::parameters::{ConflictsQuery, Id, RejectsQuery, ReplayQuery};
use super::openapi::problems;
use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use super::upload::wait_parameter;
use super::upload_view::{UploadView, names};
use super::uploads::{find, wait_until_visible};
use crate::domain::decimal_mark::DecimalMark;
use crate::ingest::header::trimmed;
use crate::ingest::records::RecordReader;
use crate::warehouse::client::WarehouseError;
use crate::warehouse::rejects::{self, RejectRow, Rejected};
use crate::warehouse::upload_counts;
use crate::warehouse::uploads::{LedgerRow, LedgerState, Loaded};

/// How long rejects that are on their way through the dead-letter topic are waited for, and how often they are looked for.
const LOADING_PATIENCE: Duration = Duration::from_secs(10);
const LOADING_INTERVAL: Duration = Duration::from_millis(50);

/// Characters of a code.
pub const MAX_CODE: usize = 64;

/// What is added to the file's own columns.
const REJECT_COLUMNS: [&str; 6] =
    ["reject_line", "reject_byte_offset", "reject_column", "reject_code", "reject_reason", "reject_raw"];

/// Lists the rejected lines of an upload
///
/// As CSV, the file's own columns come first, so that they can be corrected and uploaded again as they are.
#[utoipa::path(
    get, path = "/uploads/{id}/rejects", tag = "uploads", operation_id = "list_rejects", params(Id, RejectsQuery),
    responses(
        (status = 200, description = "All of them, by line", content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String, description = "The file's name"))),
        problems::Rejects
    )
)]
pub async fn list(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let format = Format::of_request(&mut parameters, &headers)?;
    let code = code_parameter(&mut parameters)?;
    let replayed = parameters.flag("replayed")?;
    let escape_formulas = parameters.flag("escape_formulas")?;
    parameters.finish("code, format, replayed, escape_formulas")?;
    let row = find(&state, &id).await?;
    wait_until_loaded(&state, &row).await?;
    let rejected = Rejected { upload_id: row.upload_id, code: code.as_deref(), replayed };
    let cursor = rejects::fetch(&state.warehouse, &rejected, u64::MAX)?;
    let writer = Writer { format, file: FileColumns::of(&row), escape_formulas };
    let start = writer.start();
    let pieces = pieces(cursor, start, move |reject, out| writer.write(reject, out));
    respond(&format!("rejects-{}", row.upload_id), format, pieces).await
}

fn code_parameter(parameters: &mut Parameters) -> Result<Option<String>, Problem> {
    let code = parameters.one("code")?;
    let is_code = |code: &String| {
        (1..=MAX_CODE).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    match code {
        Some(code) if !is_code(&code) => {
            Err(Problem::must_be("code", "the code of a reject, such as not_a_decimal"))
        }
        code => Ok(code),
    }
}

/// Waits until the rejects of an upload that has ended are in their table.
async fn wait_until_loaded(state: &AppState, row: &LedgerRow) -> Result<(), Problem> {
    let started = Instant::now();
    while row.state != LedgerState::Receiving && !row.dead_letter_offsets.is_empty() {
        let loaded = Loaded::of_topic(&state.warehouse, &state.dead_letter_topic).await?;
        if loaded.has(&row.dead_letter_offsets, row.updated_at) {
            break;
        }
        if started.elapsed() > LOADING_PATIENCE {
            let detail = "not all rejects of this upload are in their table yet: try again soon";
            return Err(Problem::unavailable("rejects_not_loaded", detail, "the loader is behind"));
        }
        tokio::time::sleep(LOADING_INTERVAL).await;
    }
    Ok(())
}

/// The columns of the file that the lines come from.
struct FileColumns {
    names: Vec<String>,
    delimiter: u8,
    /// Where the names are in lines after a header with other columns, by that header's line.
    later: BTreeMap<u64, Vec<Option<usize>>>,
}

impl FileColumns {
    fn of(row: &LedgerRow) -> Self {
        let delimiter = row.delimiter.bytes().next().unwrap_or(b',');
        let own = names(&row.header, delimiter);
        let plain = |name: &String| trimmed(name).to_lowercase();
        let places = |header: &String| {
            let later: Vec<String> = names(header, delimiter).iter().map(plain).collect();
            own.iter().map(|name| later.iter().position(|other| *other == plain(name))).collect()
        };
        let changes = &row.later_headers.changes;
        let later = changes.iter().map(|(line, header)| (*line, places(header))).collect();
        Self { names: own, delimiter, later }
    }

    /// Whether a column was added to a file by an earlier download: it is not added to it once more.
    fn is_ours(name: &str) -> bool {
        let name = name.trim().to_lowercase();
        REJECT_COLUMNS.contains(&name.as_str())
    }

    /// Takes a line apart, as far as it comes apart; what is more than the header has names for is only in `reject_raw`.
    fn fields(&self, line: u64, raw: &str) -> Vec<String> {
        let places = self.later.range(..line).next_back().map(|(_, places)| places);
        let mut reader = RecordReader::new(self.delimiter, usize::MAX);
        reader.buffer().extend_from_slice(raw.as_bytes());
        let record = reader.next(true).ok().flatten();
        let field = |at: usize| Some(String::from_utf8_lossy(record.as_ref()?.text(at)?).into_owned());
        let own = self.names.iter().enumerate().filter(|(_, name)| !Self::is_ours(name));
        let place = |at: usize| places.map_or(Some(at), |places| places.get(at).copied().flatten());
        own.map(|(at, _)| place(at).and_then(field).unwrap_or_default()).collect()
    }
}

/// Writes rejected lines. As CSV: the file's own columns, to be corrected and uploaded again as they are, and then ours, which an
/// upload passes over.
struct Writer {
    format: Format,
    file: FileColumns,
    escape_formulas: bool,
}

impl Writer {
    fn start(&self) -> Vec<u8> {
        let mut start = Vec::new();
        if self.format == Format::Csv {
            let own = self.file.names.iter().map(String::as_str).filter(|name| !FileColumns::is_ours(name));
            csv_record(own.chain(REJECT_COLUMNS), &mut start);
        }
        start
    }

    fn write(&self, reject: RejectRow, out: &mut Vec<u8>) {
        if self.format == Format::Ndjson {
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, &reject);
            return out.push(b'\n');
        }
        let mut fields = self.file.fields(reject.line, &reject.raw);
        if self.escape_formulas {
            fields = fields.into_iter().map(escape_formula).collect();
        }
        let RejectRow { line, byte_offset, column, code, reason, raw } = reject;
        // Nobody uploads these: they can always be made safe for a spreadsheet.
        let raw = escape_formula(raw);
        fields.extend([line.to_string(), byte_offset.to_string(), column, code, reason, raw]);
        csv_record(fields.iter().map(String::as_str), out);
    }
}

/// Lists the rounds of an upload that are stored with other values
///
/// Each field as it was sent, and as it is stored (`stored_…`).
#[utoipa::path(
    get, path = "/uploads/{id}/conflicts", tag = "uploads", operation_id = "list_conflicts", params(Id, ConflictsQuery),
    responses(
        (status = 200, description = "All of them, by line", content((String = "text/csv"), (String = "application/x-ndjson")),
         headers(("Content-Disposition" = String, description = "The file's name"))),
        problems::NoUpload
    )
)]
pub async fn conflicts(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let format = Format::of_request(&mut parameters, &headers)?;
    parameters.finish("format")?;
    let row = find(&state, &id).await?;
    let name = match format {
        Format::Csv => "CSVWithNames",
        Format::Ndjson => "JSONEachRow",
    };
    let cursor = upload_counts::conflicts(&state.warehouse, row.upload_id, name)?;
    let pieces: Pieces = Box::pin(stream::try_unfold(cursor, async |mut cursor| {
        let piece = cursor.next().await.map_err(WarehouseError::from)?;
        Ok(piece.map(|piece| (piece, cursor)))
    }));
    respond(&format!("conflicts-{}", row.upload_id), format, pieces).await
}

/// Produces rejected lines after all
///
/// Those open rejects of the upload that are valid by now, or the corrected lines of a file, which say in `reject_line` which rejects
/// they are. What is produced is an upload of its own; `replayed` lines are done, `still_rejected` ones stay open.
#[utoipa::path(
    post, path = "/uploads/{id}/replay", tag = "uploads", params(Id, ReplayQuery),
    responses((status = 200, description = "The receipt", body = UploadView), problems::Replay)
)]
pub async fn replay(
    State(state): State<AppState>,
    Path(id): Path<String>,
    mut parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let code = code_parameter(&mut parameters)?;
    let decimal = decimal_parameter(&mut parameters)?;
    let wait_visible = wait_parameter(&mut parameters)?;
    parameters.finish("code, decimal, wait")?;
    let query = Replay { code, decimal, wait_visible };
    let row = find(&state, &id).await?;
    if row.failure_code == "decimal_comma" && query.decimal.is_none() {
        let detail = "this upload was refused because its amounts have decimal commas; say which mark its rows have, comma or point";
        return Err(Problem::parameter("decimal", detail));
    }
    if row.state == LedgerState::Receiving {
        let detail = "this upload is under way: its rejects can be replayed when it has ended";
        return Err(Problem::new(StatusCode::CONFLICT, "upload_under_way", detail));
    }
    wait_until_loaded(&state, &row).await?;
    if is_form(request.headers()) {
        let mut form = read_form(request)?;
        next_file(&mut form, &state.stopping).await?.ok_or_else(no_file)?;
        return replay_body(&state, &row, &query, Some(form.boxed())).await;
    }
    let (parts, body) = request.into_parts();
    let mut body = decompressed(&parts.headers, body, state.max_upload_bytes)?;
    let first = body.next().await;
    let body = first.map(|first| stream::once(std::future::ready(first)).chain(body).boxed());
    replay_body(&state, &row, &query, body).await
}

/// What the query of a replay says.
struct Replay {
    code: Option<String>,
    decimal: Option<DecimalMark>,
    wait_visible: bool,
}

async fn replay_body(
    state: &AppState,
    row: &LedgerRow,
    query: &Replay,
    mut body: Option<BoxStream<'_, std::io::Result<Bytes>>>,
) -> Result<Response, Problem> {
    let replayed = state
        .uploader
        .replay(&state.warehouse, row, query.code.as_deref(), query.decimal, body.as_mut())
        .await?;
    drop(body);
    let finished = replayed.finished;
    let seen = if query.wait_visible { wait_until_visible(state, &finished.row).await? } else { None };
    let mut view = UploadView::of(&finished.row, state.uploader.columns()).with_rejects(finished.rejects);
    view.replayed = Some(replayed.lines);
    view.still_rejected = Some(finished.row.rejected);
    Ok(Json(json!(view.seen(seen))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(escape_formulas: bool) -> Writer {
        let row = LedgerRow {
            header: "Id;Name;reject_line".to_owned(),
            delimiter: ";".to_owned(),
            ..LedgerRow::default()
        };
        Writer { format: Format::Csv, file: FileColumns::of(&row), escape_formulas }
    }

    fn written(writer: &Writer, raw: &str) -> String {
        let mut out = writer.start();
        let reject = RejectRow {
            line: 3,
            byte_offset: 40,
            column: "id".to_owned(),
            code: "not_an_integer".to_owned(),
            reason: "why".to_owned(),
            raw: raw.to_owned(),
        };
        writer.write(reject, &mut out);
        String::from_utf8(out).unwrap()
    }

    const HEADER: &str =
        "Id,Name,reject_line,reject_byte_offset,reject_column,reject_code,reject_reason,reject_raw\n";

    #[test]
    fn a_line_comes_apart_into_the_columns_of_its_file() {
        assert_eq!(
            written(&writer(false), "x;\"a;\"\"b\"\"\n\";2"),
            format!(
                "{HEADER}x,\"a;\"\"b\"\"\n\",3,40,id,not_an_integer,why,\"x;\"\"a;\"\"\"\"b\"\"\"\"\n\"\";2\"\n"
            )
        );
        assert_eq!(written(&writer(false), "x"), format!("{HEADER}x,,3,40,id,not_an_integer,why,x\n"));
        assert_eq!(
            written(&writer(false), "x;y;z;4;5"),
            format!("{HEADER}x,y,3,40,id,not_an_integer,why,x;y;z;4;5\n")
        );
    }

    #[test]
    fn a_formula_stays_what_it_is_where_it_is_uploaded_again() {
        assert_eq!(
            written(&writer(false), "=1+1;@x"),
            format!("{HEADER}=1+1,@x,3,40,id,not_an_integer,why,'=1+1;@x\n")
        );
        assert_eq!(
            written(&writer(true), "=1+1;@x"),
            format!("{HEADER}'=1+1,'@x,3,40,id,not_an_integer,why,'=1+1;@x\n")
        );
    }
}
