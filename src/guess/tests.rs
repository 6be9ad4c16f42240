use super::*;
use crate::dataset::Dataset;
use crate::dataset::endpoint::Endpoint;
use crate::dataset::files::Origin;

/// Guesses, and reads the files as a dataset.
fn dataset(text: &str) -> (Guess, Dataset) {
    let guess = guess("things", "things.csv", text.as_bytes(), true).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in guess.files() {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let dataset = Dataset::read("things", &[Origin::Directory(directory.path().to_owned())]);
    let dataset = dataset.unwrap_or_else(|error| panic!("{error}\n{}", guess.schema()));
    for endpoint in &dataset.endpoints {
        Endpoint::parse(endpoint).unwrap_or_else(|fault| panic!("{fault}\n{}", endpoint.text));
    }
    for check in &dataset.checks {
        Endpoint::parse_check(check).unwrap_or_else(|fault| panic!("{fault}\n{}", check.text));
    }
    (guess, dataset)
}

fn columns(guess: &Guess) -> Vec<(&str, bool)> {
    guess.columns.iter().map(|column| (column.name.as_str(), column.is_nullable)).collect()
}

#[test]
fn the_key_is_a_whole_number_that_identifies_rows_and_whose_name_says_so() {
    let (guess, dataset) =
        dataset("payment_id,amount,paid_at\n1,2.50,2024-01-01 00:00:00\n2,3,2024-01-01 01:00:00\n");
    assert_eq!((guess.key_name(), dataset.has_key(), guess.rejected), (Some("payment_id"), true, 0));
    assert!(dataset.tables.iter().any(|statement| statement.name == "things_by_hour"));
    for text in [
        "payment_id,a\n1,x\n1,y\n",
        "amount,a\n1,x\n2,y\n",
        "payment_id,a\n-1,x\n2,y\n",
        "payment_id,a\n1,x\n,y\n",
    ] {
        assert_eq!(dataset_key(text), None, "{text}");
    }
}

fn dataset_key(text: &str) -> Option<String> {
    dataset(text).0.key_name().map(str::to_owned)
}

#[test]
fn members_of_objects_are_columns_with_their_places() {
    let text = r#"{"id": 1, "data": {"price": "1.5", "Side": "buy"}, "tags": ["a"], "X": null}
{"id": 2, "data": {"price": 2}, "tags": [], "x": 1}
"#;
    let (guess, dataset) = dataset(text);
    assert_eq!(
        columns(&guess),
        [("id", false), ("data_price", false), ("data_side", true), ("x", true), ("x_2", true)],
    );
    let left_out: Vec<&str> = guess.left_out.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(left_out, ["tags"]);
    let path = dataset.columns.get(2).and_then(|column| column.path.as_ref()).map(ToString::to_string);
    assert_eq!(path.as_deref(), Some("/data/Side"));
    assert_eq!((guess.rejected, guess.sample.extension), (0, "ndjson"));
}

#[test]
fn what_cannot_be_a_column_is_left_out_with_a_reason() {
    let (guess, _) = dataset("a,a,b,,c\n1,2,3,4,5\n");
    let left_out: Vec<&str> = guess.left_out.iter().map(|field| field.name.as_str()).collect();
    assert_eq!((left_out, columns(&guess)), (vec!["a", "a", "field 4"], vec![("b", false), ("c", false)]));
    let text = r#"[{"a": {"b": 1}, "n": null, "c": 1}, {"a": 1, "n": {"m": 2}, "c": 2}]"#;
    let (guess, _) = dataset(text);
    let left_out: Vec<&str> = guess.left_out.iter().map(|field| field.name.as_str()).collect();
    assert_eq!((left_out, columns(&guess)), (vec!["a.b", "a"], vec![("c", false), ("n_m", true)]));
}

#[test]
fn rows_that_no_type_can_hold_are_named() {
    let (guess, _) = dataset("id,text\n1,a\n2,b,c\n3,\u{1}\n");
    assert_eq!((guess.rows, guess.rejected), (3, 2));
    assert!(guess.reasons[0].starts_with("line 3: the row: "), "{:?}", guess.reasons);
    assert!(guess.reasons[1].contains("control character"), "{:?}", guess.reasons);
}

#[test]
fn a_file_without_rows_or_names_is_an_error_that_says_what_to_do() {
    for (text, message) in [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("id,name\n", "a header but no rows"),
        ("1,2\n3,4\n", "the first line names no columns: \"1,2\""),
        ("[]", "a header but no rows"),
        ("PK\u{3}\u{4}", "not CSV text"),
        ("a,a\n1,2\n", "no field of the file can be a column"),
    ] {
        let error = guess("things", "things.csv", text.as_bytes(), true).unwrap_err();
        assert!(error.to_string().contains(message), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_goes_on_is_guessed_from_its_first_rows() {
    let text = "id,name\n1,a\n2,b\n3,\"c";
    let guess = guess("things", "things.csv", text.as_bytes(), false).unwrap();
    assert_eq!((guess.rows, guess.rejected, guess.sample.text.as_str()), (2, 0, "id,name\n1,a\n2,b\n"));
}
