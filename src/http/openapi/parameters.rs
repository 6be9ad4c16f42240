//! Parameters of requests, with the bounds that the handlers keep to.

use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema};

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
    of("on_error", "What a row that is not valid does to the rest of its file", choice(&["continue", "abort"], Some("continue"))),
    of(
        "max_rejects",
        "Rejected rows, or percent of the rows, after which the file is given up. A share counts from 1,000 rows on, and at the end",
        text().pattern(Some(r"^([0-9]{1,19}|(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%)$")).examples([Value::from("5%")]),
    ),
    flag("force", "Sends a file again that was here before. A round counts once all the same"),
    flag("validate_only", "Answers the same without producing anything. Not together with `force` or `wait`"),
    wait(),
);

query!(
    /// Of `GET /uploads`.
    UploadsQuery:
    limit(newest::DEFAULT_LIMIT, newest::MAX_LIMIT),
    of("cursor", "The `next_cursor` of the page before", uuid()),
);

query!(
    /// Of `GET /uploads/{id}/rejects`.
    RejectsQuery:
    code(),
    list_format(),
    flag("replayed", "Those that a replay has produced, instead of those that are open"),
    flag("escape_formulas", "An apostrophe before what a spreadsheet would take for a formula: a copy to look at, not to upload"),
);

query!(
    /// Of `GET /uploads/{id}/conflicts`.
    ConflictsQuery: list_format(),
);

query!(
    /// Of `POST /uploads/{id}/replay`.
    ReplayQuery: code(), decimal(), wait(),
);

query!(
    /// Of `GET /aggregates`.
    AggregatesQuery:
    players(),
    games(),
    date_from(),
    date_to(),
    limit(request::DEFAULT_LIMIT, request::MAX_LIMIT),
    number("skip", "Rows to pass over (0). Not together with `cursor`, which need not read them", None, 0, request::MAX_SKIP),
    of("cursor", "The `next_cursor` of the page before, with the same filters and order", text().pattern(Some("^[A-Za-z0-9_-]+$"))),
    of(
        "sort",
        "Order; a minus before it turns it round",
        choice(&["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"], Some("created_hour")),
    ),
    of(
        "format",
        "How the rows are written; without it, `Accept` decides, and without that it is JSON",
        choice(&["json", "csv", "ndjson", "arrow", "parquet"], None),
    ),
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
    repeatable("upload_id", "Uploads to which the file belongs, if its bytes are not theirs", uuid(), reconcile::MAX_NAMED_UPLOADS),
);

query!(
    /// Of `GET /reconcile`.
    ReconciliationsQuery:
    limit(newest::DEFAULT_LIMIT, newest::MAX_LIMIT),
    of("cursor", "The `next_cursor` of the page before", uuid()),
);

query!(
    /// Of `POST /reconcile/{id}/repair`.
    RepairQuery:
    of(
        "prefer",
        "Whose values count where a round is stored with others than the file has",
        choice(&["stored", "file"], Some("stored")),
    ),
    of("remove", "Removes rounds that are stored as from the file's upload, and are not in it", choice(&["unexpected"], None)),
);

query!(
    /// Of `GET /reconcile/{id}/differences`.
    DifferencesQuery:
    of("kind", "Only differences of this kind", choice(&Kind::ALL.map(Kind::name), None)),
    list_format(),
    flag("escape_formulas", "An apostrophe before what a spreadsheet would take for a formula"),
);

/// The id in a path.
#[derive(Debug)]
pub struct Id;

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let uuid = uuid();
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        vec![id.description(Some("As the answer to the file had it")).schema(Some(uuid)).build()]
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
    of("date_from", "From this date, or time, on", time("2019-10-22"))
}

fn date_to() -> Parameter {
    of(
        "date_to",
        "To this date, which is meant whole, or to this time, which is excluded",
        time("2019-10-22T09:00:00Z"),
    )
}

/// A date or a time from 1970 to 2105; without a zone it is in UTC.
fn time(example: &str) -> ObjectBuilder {
    let pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?$";
    text().pattern(Some(pattern)).examples([Value::from(example)])
}

fn if_none_match() -> Parameter {
    let header = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False);
    header
        .description(Some("The `ETag` of an answer that is known: 304 if nothing has changed"))
        .schema(Some(text()))
        .build()
}

fn uuid() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
}

fn file_name() -> Parameter {
    of(
        "name",
        "The file's name, where the body is the file",
        text().examples([Value::from("gamerounds.csv")]),
    )
}

fn encoding() -> Parameter {
    let about = "Encoding of the file, a label of the WHATWG Encoding Standard; else a byte order mark says it, or it is found";
    of("encoding", about, text().examples([Value::from("utf-16le")]))
}

fn decimal() -> Parameter {
    let about = "Decimal mark of the amounts. With `comma`, `1.234,5` is 1234.5 and `1.000` is 1000. Without it the mark is a point, and \
                 a file that shows a comma is refused; with `point`, rows that do are rejected";
    of("decimal", about, choice(&["comma", "point"], None))
}

fn wait() -> Parameter {
    let values = ["acknowledged", "visible"];
    of(
        "wait",
        "Answers once the broker has every row, or once they are in the aggregates",
        choice(&values, Some("acknowledged")),
    )
}

fn code() -> Parameter {
    let schema = text().pattern(Some("^[a-z0-9_]+$")).min_length(Some(1)).max_length(Some(rejects::MAX_CODE));
    of("code", "Only rejects with this code", schema.examples([Value::from("not_a_decimal")]))
}

fn list_format() -> Parameter {
    of(
        "format",
        "How the list is written; without it, `Accept` decides, and without that it is CSV",
        choice(&["csv", "ndjson"], None),
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
    let schema = ArrayBuilder::new().items(item.build()).max_items(Some(most));
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
