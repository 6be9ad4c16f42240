use super::*;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Payment", "key": "id",
  "fields": [
    { "name": "id", "type": "long", "minimum": 0 },
    { "name": "amount", "type": { "type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2 } },
    { "name": "upload_id", "type": ["null", { "type": "fixed", "name": "U", "size": 16, "logicalType": "uuid" }], "source": "upload_id" }
  ]
}"#;

const TABLE: &str = "-- Payments.\nCREATE TABLE IF NOT EXISTS payments\n(\n    id UInt64\n)\nENGINE = MergeTree\nORDER BY id\n";
const TOTALS: &str = "CREATE TABLE IF NOT EXISTS totals\n(\n    amount SimpleAggregateFunction(sum, Decimal(38, 2))\n)\nENGINE = AggregatingMergeTree\nORDER BY tuple()\n";
const VIEW: &str = "CREATE MATERIALIZED VIEW IF NOT EXISTS totals_view TO totals AS\nSELECT sum(amount) AS amount\nFROM payments\n";
const DESCRIPTION: &str = "title = \"Payments\"\ntopic = \"payments\"\ntable = \"payments\"\n";

fn sql(name: &str, text: &str) -> SqlFile {
    SqlFile {
        path: format!("queries/payments/tables/{name}.sql"),
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn files() -> Files {
    Files {
        schema: TextFile { path: "schemas/payments.avsc".to_owned(), text: SCHEMA.to_owned() },
        description: TextFile {
            path: "queries/payments/dataset.toml".to_owned(),
            text: DESCRIPTION.to_owned(),
        },
        tables: vec![sql("1", TABLE), sql("2", TOTALS), sql("3", VIEW)],
        endpoints: Vec::new(),
        checks: Vec::new(),
    }
}

#[test]
fn every_shipped_dataset_can_be_read() {
    let names = Origin::Shipped.names().unwrap();
    assert!(names.contains(&BETS.to_owned()) && !names.contains(&"engine".to_owned()), "{names:?}");
    let datasets: Vec<Dataset> = names.iter().map(|name| Dataset::read(name, &[]).unwrap()).collect();
    check_together(&datasets).unwrap();
}

#[test]
fn a_dataset_has_what_its_files_say_and_defaults_for_the_rest() {
    let dataset = Dataset::of("payments", files()).unwrap();
    assert_eq!((dataset.topic.as_str(), dataset.dead_letter_topic.as_str()), ("payments", "payments-dlq"));
    assert_eq!(
        (dataset.conflicts.as_str(), dataset.differences.as_str()),
        ("payments_conflicts", "payments_differences")
    );
    assert_eq!(dataset.partition_by, [0]);
    assert!(dataset.has_key());
    let view = dataset.tables[2].view().unwrap();
    assert_eq!(view.target, "totals");
    assert_eq!(view.query_from("(SELECT 1)"), "SELECT sum(amount) AS amount\nFROM (SELECT 1)");
}

#[test]
fn datasets_come_from_directories_too_and_none_hides_another() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for folder in ["schemas", "queries/payments/tables", "queries/bets"] {
        std::fs::create_dir_all(here.join(folder)).unwrap();
    }
    let origin = Origin::Directory(here.to_owned());
    let read = |name: &str| Dataset::read(name, std::slice::from_ref(&origin)).map(|dataset| dataset.name);
    let error = |name: &str| read(name).unwrap_err().to_string();
    assert!(
        error("payments")
            .ends_with("schemas/payments.avsc does not exist; a dataset needs it: see docs/DATASETS.md")
    );
    std::fs::write(here.join("schemas/payments.avsc"), SCHEMA).unwrap();
    std::fs::write(here.join("queries/payments/dataset.toml"), DESCRIPTION).unwrap();
    assert!(error("payments").contains("tables:1: no file in this folder creates the row table payments"));
    for (name, text) in [("1", TABLE), ("2", TOTALS), ("3", VIEW)] {
        std::fs::write(here.join(format!("queries/payments/tables/{name}.sql")), text).unwrap();
    }
    assert_eq!(read("payments").unwrap(), "payments");
    assert!(error("payment").starts_with("the dataset payment does not exist; there are bets, "));
    assert!(error("engine").starts_with("the dataset engine does not exist"));
    assert!(
        error("bets").contains("schemas/bets.avsc does not exist")
            || error("bets").contains("is in the binary and in")
    );
}

#[test]
fn two_datasets_cannot_share_a_topic_or_a_table() {
    let one = Dataset::of("payments", files()).unwrap();
    let mut other = files();
    other.description.text = DESCRIPTION.replace("topic = \"payments\"", "topic = \"others\"");
    let error = |other| check_together(&[one.clone(), other]).unwrap_err().to_string();
    assert!(error(one.clone()).contains("both have the topic payments;"));
    assert!(error(Dataset::of("others", other).unwrap()).contains("both have the table payments;"));
}

#[test]
fn each_mistake_is_reported_with_its_file_and_line() {
    let fault = |change: &dyn Fn(&mut Files)| {
        let mut files = files();
        change(&mut files);
        Dataset::of("payments", files).unwrap_err().to_string()
    };
    let description =
        |from: &str, to: &str| fault(&|files| files.description.text = DESCRIPTION.replace(from, to));
    let table = |at: usize, from: &str, to: &str| {
        fault(&|files| files.tables[at].text = files.tables[at].text.replace(from, to))
    };
    let schema = |from: &str, to: &str| fault(&|files| files.schema.text = SCHEMA.replace(from, to));
    let cases = [
        (
            schema("\"key\": \"id\"", "\"key\": [\"id\", \"amount\"]"),
            "schemas/payments.avsc:2: key: its last field, amount, is not a whole number from 0 up",
        ),
        (
            description("topic = \"payments\"", "topics = 1"),
            "queries/payments/dataset.toml:2: unknown field `topics`",
        ),
        (description("title", "# title"), "dataset.toml:1: missing field `title`"),
        (
            description("topic = \"payments\"", "topic = \"a b\""),
            "dataset.toml:2: \"a b\" is not the name of a topic",
        ),
        (
            description("table = \"payments\"", "table = \"Pay\""),
            "dataset.toml:3: \"Pay\" is not the name of a table",
        ),
        (
            description("table = \"payments\"", "table = \"x\""),
            "tables/1.sql:1: no file in this folder creates the row table x",
        ),
        (
            description("table =", "partition_by = [\"pair\"]\ntable ="),
            "dataset.toml:3: the schema has no column \"pair\"; it has id",
        ),
        (
            fault(&|files| files.schema.text = SCHEMA.replace("\"long\"", "\"float\"")),
            "schemas/payments.avsc:",
        ),
        (table(0, "CREATE TABLE", "CREATE  TABLE"), "tables/1.sql:2: the statement must begin with"),
        (
            table(0, "ORDER BY id\n", "ORDER BY id;\nDROP TABLE x\n"),
            "tables/1.sql:7: a file has one statement",
        ),
        (table(0, "payments\n", "db.payments\n"), "tables/1.sql:2: a name of letters"),
        (table(2, "TO totals ", ""), "tables/3.sql:1: the view must name its table"),
        (table(2, "TO totals", "TO sums"), "tables/3.sql:1: no file in this folder creates the table sums"),
        (
            table(2, "FROM payments", "FROM other"),
            "tables/3.sql:2: the query of a view must read the row table exactly once",
        ),
        (
            table(2, "FROM payments", "FROM payments, (SELECT 1 FROM payments)"),
            "tables/3.sql:2: the query of a view must read",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
    }
}

/// The dataset without a key, with this section in its description.
fn with_latest(section: &str) -> Result<Dataset, DatasetError> {
    let mut files = files();
    files.schema.text = SCHEMA.replace(" \"key\": \"id\",", "").replace(
        "\"fields\": [",
        "\"fields\": [ { \"name\": \"note\", \"type\": [\"null\", \"string\"] }, { \"name\": \"name\", \"type\": \"string\" }, \
         { \"name\": \"share\", \"type\": \"double\" }, { \"name\": \"line\", \"type\": [\"null\", \"long\"], \"source\": \"line\", \"minimum\": 1 },",
    );
    files.description.text = format!("{DESCRIPTION}[latest]\n{section}\n");
    Dataset::of("payments", files)
}

#[test]
fn the_last_rows_are_those_of_the_named_key_and_order() {
    let columns = |section| {
        let dataset = with_latest(section).unwrap();
        let latest = dataset.latest.unwrap();
        let names = |indexes: &[usize]| -> Vec<String> {
            indexes.iter().map(|at| dataset.columns.get(*at).unwrap().name.clone()).collect()
        };
        (names(&latest.key), names(&latest.order), latest.table)
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let found = columns("key = [\"name\"]\norder = [\"amount\", \"id\"]");
    assert_eq!(found, (owned(&["name"]), owned(&["amount", "id"]), "payments".to_owned()));
    let found = columns("key = [\"name\", \"amount\"]\norder = [\"id\"]\ntable = \"totals\"");
    assert_eq!(found, (owned(&["name", "amount"]), owned(&["id"]), "totals".to_owned()));
}

#[test]
fn each_mistake_in_the_section_of_last_rows_is_reported_with_its_line() {
    for (section, expected) in [
        ("key = [\"name\"]", "dataset.toml:4: missing field `order`"),
        ("key = []\norder = [\"id\"]", "dataset.toml:4: key and order of [latest] need at least one column"),
        ("key = [\"name\"]\norder = [\"at\"]", "dataset.toml:6: the schema has no column \"at\""),
        ("key = [\"name\"]\norder = [\"name\"]", "dataset.toml:6: the column name is named twice"),
        ("key = [\"note\"]\norder = [\"id\"]", "dataset.toml:5: the column note may be null"),
        ("key = [\"share\"]\norder = [\"id\"]", "dataset.toml:5: the column share is a double"),
        ("key = [\"line\"]\norder = [\"id\"]", "dataset.toml:5: the column line may be null"),
        ("key = [\"id\"]\norder = [\"name\"]", "dataset.toml:6: the column name has no order in time"),
        ("key = [\"id\"]\norder = [\"share\"]", "dataset.toml:6: the column share has no order in time"),
        ("key = [\"id\"]\norder = [\"line\"]", "dataset.toml:6: the column line may be null"),
        (
            "key = [\"name\"]\norder = [\"id\"]\ntable = \"x\"",
            "dataset.toml:7: no statement in the folder tables",
        ),
        ("key = [\"name\"]\norder = [\"id\"]\ntable = \"totals_view\"", "dataset.toml:7: no statement"),
        ("key = [\"name\"]\norder = [\"id\"]\nkeys = 1", "unknown field `keys`"),
    ] {
        let found = with_latest(section).unwrap_err().to_string();
        assert!(found.contains(expected), "expected {expected:?}, found {found:?}");
    }
    let mut keyed = files();
    keyed.description.text = format!("{DESCRIPTION}[latest]\nkey = [\"amount\"]\norder = [\"id\"]\n");
    let found = Dataset::of("payments", keyed).unwrap_err().to_string();
    assert!(found.contains("dataset.toml:4: a dataset with a key cannot have [latest]"), "{found}");
}
