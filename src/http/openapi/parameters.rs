//! Parameters of requests, with the limits that the handlers enforce.
//!
//! Clients such as Postman send every optional parameter that the description has, with a value made from its schema. So each has a
//! `default`, an `enum` or a `pattern` whose values the handlers accept. A `default` means the same as leaving the parameter out.

use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema};

use super::page;
use crate::http::aggregates::request;
use crate::http::{newest, reconcile, rejects};
use crate::reconcile::report::Kind;

/// The parameters of an operation, all in the query.
macro_rules! query {
    ($(#[$about:meta])* $name:ident: $($parameter:expr),+ $(,)?) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),+]
            }
        }
    };
}

query!(
    /// Of `POST /uploadcsv`.
    UploadQuery:
    file_name(),
    encoding(),
    decimal(),
    columns(),
    timezone(),
    of("on_error", "What to do at an invalid row: `continue` with the rest of the file, or `abort`. Rows already sent stay", choice(&["continue", "abort"], Some("continue"))),
    of(
        "max_rejects",
        "Stop after this number or percentage of rejected rows. A percentage is checked after the first 1,000 rows and again at the end",
        text().pattern(Some(r"^([0-9]{1,19}|(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%)$")).examples([Value::from("5%")]),
    ),
    flag("force", "Send a file again that was uploaded before. Each round still counts once"),
    flag("validate_only", "Check the file without producing anything. Cannot be combined with `force` or `wait=visible`"),
    wait(),
);

query!(
    /// Of `GET /uploads`.
    UploadsQuery:
    limit(newest::DEFAULT_LIMIT, newest::MAX_LIMIT),
    cursor("The `next_cursor` of the page before; empty for the first page", LIST_CURSOR),
);

query!(
    /// Of `GET /uploads/{id}/rejects`.
    RejectsQuery:
    code(),
    list_format(),
    flag("replayed", "List the rejects that a replay has produced, instead of the open ones"),
    flag("escape_formulas", "Put an apostrophe before each cell that a spreadsheet would read as a formula. For viewing only: do not upload that copy"),
);

query!(
    /// Of `GET /uploads/{id}/conflicts`.
    ConflictsQuery: list_format(), escape_formulas(),
);

query!(
    /// Of `POST /uploads/{id}/replay`.
    ReplayQuery: code(), encoding(), decimal(), timezone(), wait(),
);

query!(
    /// Of `GET /aggregates`.
    AggregatesQuery:
    players(),
    games(),
    date_from(),
    date_to(),
    limit(request::DEFAULT_LIMIT, request::MAX_LIMIT),
    number("skip", "Rows to skip. More than 0 cannot be combined with `cursor`, which is faster", Some(0), 0, request::MAX_SKIP),
    cursor("The `next_cursor` of the page before, with the same filters and order; empty for the first page", "^[A-Za-z0-9_-]*$"),
    of(
        "sort",
        "Sort column; prefix with `-` for descending order",
        choice(&["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"], Some("created_hour")),
    ),
    of(
        "format",
        "Format of the rows. Without it, the `Accept` header decides; without both it is JSON",
        choice(&["json", "csv", "ndjson", "arrow", "parquet"], None),
    ),
    escape_formulas(),
    if_none_match(),
);

query!(
    /// Of `GET /aggregates/summary`.
    SummaryQuery: players(), games(), date_from(), date_to(), if_none_match(),
);

query!(
    /// Of `POST /reconcile`.
    ReconcileQuery:
    file_name(),
    encoding(),
    decimal(),
    columns(),
    timezone(),
    repeatable("upload_id", "Uploads that this file corresponds to, if its bytes differ", uuid(), reconcile::MAX_NAMED_UPLOADS),
);

query!(
    /// Of `GET /reconcile`.
    ReconciliationsQuery:
    limit(newest::DEFAULT_LIMIT, newest::MAX_LIMIT),
    cursor("The `next_cursor` of the page before; empty for the first page", LIST_CURSOR),
);

query!(
    /// Of `POST /reconcile/{id}/repair`.
    RepairQuery:
    of(
        "prefer",
        "Which values win when a stored round differs from the file",
        choice(&["stored", "file"], Some("stored")),
    ),
    of("remove", "Remove rounds that the file's upload stored and that are not in the file", choice(&["nothing", "unexpected"], Some("nothing"))),
    flag("preview", "Only report what the repair would change, and change nothing"),
);

query!(
    /// Of `GET /reconcile/{id}/differences`.
    DifferencesQuery:
    of("kind", "Only differences of this kind", choice(&Kind::ALL.map(Kind::name), None)),
    list_format(),
    escape_formulas(),
);

/// The id of the last item of a page, or nothing.
const LIST_CURSOR: &str = "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$";

fn cursor(about: &str, pattern: &str) -> Parameter {
    of("cursor", about, text().pattern(Some(pattern)).default(Some(Value::from(""))))
}

/// The id in a path.
#[derive(Debug)]
pub struct Id;

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let uuid = uuid();
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        vec![id.description(Some("The id returned when the file was sent")).schema(Some(uuid)).build()]
    }
}

/// The name of a file of the pages.
#[derive(Debug)]
pub struct PageFile;

impl IntoParams for PageFile {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let file =
            ParameterBuilder::new().name("file").parameter_in(ParameterIn::Path).required(Required::True);
        vec![file.description(Some("The file's name")).schema(Some(choice(&page::FILES, None))).build()]
    }
}

fn players() -> Parameter {
    let player = text().min_length(Some(1)).max_length(Some(request::MAX_PLAYER_CHARACTERS));
    repeatable("player_id", "Only these players", player, request::MAX_VALUES)
}

fn games() -> Parameter {
    let game = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0));
    repeatable("game_id", "Only these games", game, request::MAX_VALUES)
}

fn date_from() -> Parameter {
    of("date_from", "From this date or time (inclusive)", time("1970-01-01", "2019-10-22"))
}

fn date_to() -> Parameter {
    of(
        "date_to",
        "Until this date (inclusive) or this time (exclusive)",
        time("2105-12-31", "2019-10-22T09:00:00Z"),
    )
}

/// A date or a time from 1970 to 2105; without a zone it is in UTC. `bound`: the same as no limit.
fn time(bound: &str, example: &str) -> ObjectBuilder {
    let pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?$";
    text().pattern(Some(pattern)).default(Some(Value::from(bound))).examples([Value::from(example)])
}

fn if_none_match() -> Parameter {
    let header = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False);
    header
        .description(Some("The `ETag` of an earlier response: 304 if nothing has changed since"))
        .schema(Some(text()))
        .build()
}

fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}

fn file_name() -> Parameter {
    of(
        "name",
        "The file's name, if neither the body nor the form has one",
        text().default(Some(Value::from(""))).examples([Value::from("gamerounds.csv")]),
    )
}

fn encoding() -> Parameter {
    let about = "Encoding of the file: a label of the WHATWG Encoding Standard, or `auto` to detect it. A byte order mark wins over it";
    of("encoding", about, text().default(Some(Value::from("auto"))))
}

fn decimal() -> Parameter {
    let about = "Decimal mark of the amounts. With `comma`, `1.234,5` is 1234.5 and `1.000` is 1000. With `auto` the mark is a point, and a file \
                 with decimal commas is refused. With `point`, rows with decimal commas are rejected";
    of("decimal", about, choice(&["auto", "comma", "point"], Some("auto")))
}

fn columns() -> Parameter {
    let about = "Columns that the file calls by other names: `COLUMN:NAME,…`. Put a name with commas or quotes into double quotes, and write \
                 a quote inside them twice: `provider:\"Vendor, Inc.\"`. Empty: none";
    // An example that changes nothing: /docs sends it with whatever file is tried.
    let example = Value::from("user_id:user_id,provider:provider");
    of("columns", about, text().default(Some(Value::from(""))).examples([example]))
}

fn timezone() -> Parameter {
    let about = "Zone of times without one: a name of the IANA time zone database, such as `Europe/Malta`, or an offset such as `+02:00`. With \
                 `auto` they are UTC, and a replay uses the zone of its upload. A time that the clocks of the zone showed twice, or never, is rejected";
    of("timezone", about, text().default(Some(Value::from("auto"))))
}

fn wait() -> Parameter {
    let values = ["acknowledged", "visible"];
    of(
        "wait",
        "When to answer: once Kafka has acknowledged every row, or once the rows are visible in the aggregates",
        choice(&values, Some("acknowledged")),
    )
}

fn code() -> Parameter {
    let schema = text().pattern(Some("^[a-z0-9_]+$")).min_length(Some(1)).max_length(Some(rejects::MAX_CODE));
    of("code", "Only rows that have a fault with this code", schema.examples([Value::from("not_a_decimal")]))
}

fn list_format() -> Parameter {
    of(
        "format",
        "Format of the list. Without it, the `Accept` header decides; without both it is CSV",
        choice(&["csv", "ndjson"], None),
    )
}

fn escape_formulas() -> Parameter {
    flag(
        "escape_formulas",
        "In CSV: put an apostrophe before each cell that a spreadsheet would read as a formula",
    )
}

/// The rows of a page.
pub fn limit(default: u64, most: u64) -> Parameter {
    number("limit", "Rows of a page", Some(default), 1, most)
}

/// A whole number between two bounds.
pub fn number(name: &str, about: &str, default: Option<u64>, least: u64, most: u64) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least as f64))
        .maximum(Some(most as f64))
        .default(default.map(Value::from));
    of(name, about, schema)
}

/// A parameter that may be given several times.
pub fn repeatable(name: &str, about: &str, item: ObjectBuilder, most: usize) -> Parameter {
    let schema =
        ArrayBuilder::new().items(item.build()).max_items(Some(most)).default(Some(Value::Array(Vec::new())));
    let parameter =
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter
        .description(Some(about))
        .schema(Some(Schema::from(schema)))
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .build()
}

/// A parameter that may be given once.
pub fn of(name: &str, about: &str, schema: ObjectBuilder) -> Parameter {
    let schema: RefOr<Schema> = schema.into();
    let parameter =
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter.description(Some(about)).schema(Some(schema)).build()
}

fn flag(name: &str, about: &str) -> Parameter {
    of(name, about, ObjectBuilder::new().schema_type(Type::Boolean).default(Some(Value::Bool(false))))
}

pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// One of some words.
pub fn choice(values: &[&str], default: Option<&str>) -> ObjectBuilder {
    text().enum_values(Some(values.iter().copied())).default(default.map(Value::from))
}
