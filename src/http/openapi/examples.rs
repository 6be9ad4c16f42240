//! Real responses of a server, for the description.

use serde_json::Value;

/// A response: the operation's id, the status, the media type, and the text.
const RESPONSES: &[(&str, &str, &str, &str)] = &[
    ("upload_csv", "200", JSON, include_str!("examples/upload.json")),
    ("list_uploads", "200", JSON, include_str!("examples/uploads.json")),
    ("show_upload", "200", JSON, include_str!("examples/upload_visible.json")),
    ("list_rejects", "200", "text/csv", include_str!("examples/rejects.csv")),
    ("list_rejects", "200", "application/x-ndjson", include_str!("examples/rejects.ndjson")),
    ("list_conflicts", "200", "text/csv", include_str!("examples/conflicts.csv")),
    ("list_conflicts", "200", "application/x-ndjson", include_str!("examples/conflicts.ndjson")),
    ("replay", "200", JSON, include_str!("examples/replay.json")),
    ("list_datasets", "200", JSON, include_str!("examples/datasets.json")),
    ("show_dataset", "200", JSON, include_str!("examples/dataset.json")),
    ("aggregates", "200", JSON, include_str!("examples/aggregates.json")),
    ("aggregates", "200", "text/csv", include_str!("examples/aggregates.csv")),
    ("aggregates", "200", "application/x-ndjson", include_str!("examples/aggregates.ndjson")),
    ("aggregates_summary", "200", JSON, include_str!("examples/summary.json")),
    ("reconcile", "202", JSON, include_str!("examples/reconcile.json")),
    ("list_reconciliations", "200", JSON, include_str!("examples/reconciliations.json")),
    ("show_reconciliation", "200", JSON, include_str!("examples/reconciliation.json")),
    ("cancel_reconciliation", "200", JSON, include_str!("examples/cancelled.json")),
    ("repair", "200", JSON, include_str!("examples/repair_preview.json")),
    ("repair", "202", JSON, include_str!("examples/repair.json")),
    ("list_differences", "200", "text/csv", include_str!("examples/differences.csv")),
    ("list_differences", "200", "application/x-ndjson", include_str!("examples/differences.ndjson")),
    ("home", "200", JSON, include_str!("examples/home.json")),
    ("metrics", "200", "text/plain", include_str!("examples/metrics.plain.txt")),
    ("metrics", "200", "application/openmetrics-text", include_str!("examples/metrics.open.txt")),
    ("healthz", "200", JSON, include_str!("examples/healthz.json")),
    ("readyz", "200", JSON, include_str!("examples/readyz.json")),
];

const JSON: &str = "application/json";

/// Adds the responses to a description.
pub fn add(document: &mut Value) -> serde_json::Result<()> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        for (_, status, media_type, text) in RESPONSES.iter().filter(|(operation, ..)| *operation == id) {
            let example = if *media_type == JSON { serde_json::from_str(text)? } else { Value::from(*text) };
            let content = operation["responses"][*status]["content"].get_mut(*media_type);
            if let Some(content) = content.and_then(Value::as_object_mut) {
                content.insert("example".to_owned(), example);
            }
        }
    }
    Ok(())
}
