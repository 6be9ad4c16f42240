//! `roundhouse query`, run as a user and as a script runs it.

use serde_json::Value;

use super::served;
use crate::harness::command::{Said, client, run};

#[tokio::test(flavor = "multi_thread")]
async fn query_prints_an_answer_in_every_format_and_follows_its_pages() {
    let server = served::start().await;
    let api = server.addresses.api.clone();
    let query = async |arguments: &[&str]| -> Said { run(client("query", &api, "", arguments)).await };

    let said = query(&["payments", "list", "--limit", "2", "--payer", "payer'1", "--payer=payer'3"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for text in ["payment_id", "reference", "payer'1", "9.25", "900000000000000000000"] {
        assert!(said.stdout.contains(text), "{text}: {said:?}");
    }
    let position = |text: &str| said.stdout.find(text).expect(text);
    assert!(position("payment_id") < position("amount") && position("amount") < position("reference"));
    assert!(said.stderr.contains("more rows exist; use --all"), "{said:?}");

    let said = query(&["payments", "list", "--all", "--format", "csv", "--limit", "20"]).await;
    assert_eq!((said.code, said.stdout.lines().count(), said.stderr.as_str()), (Some(0), 51, ""), "{said:?}");
    let said = query(&["payments", "list", "--format", "ndjson", "--all"]).await;
    assert_eq!((said.code, said.stdout.lines().count()), (Some(0), 50), "{said:?}");

    let said = query(&["payments", "one", "--id", "7", "--json"]).await;
    let row: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!((said.code, &row["amount"]), (Some(0), &Value::from("7.25")), "{said:?}");
    let said = query(&["payments", "list", "--least", "100"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "no rows\n"), "{said:?}");

    for (arguments, message) in [
        (&["payments", "one", "--id", "x"][..], "400 invalid_parameter: --id: it must be a whole number"),
        (&["payments", "one"], "400 invalid_parameter: --id: it is missing"),
        (&["payments", "one", "--id", "77"], "404 no_row: no row matches"),
        (&["payments", "no-such"], "404 no_such_path"),
        (&["payments", "one", "--id"], "--id has no value; write --id VALUE"),
        (&["payments"], "<ENDPOINT>"),
    ] {
        let said = query(arguments).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(message) && said.stderr.lines().count() == 1, "{arguments:?}: {said:?}");
    }
}
