//! The datasets of a server: those of `--dataset`, with `--schema` and `--kafka-topic` for bets.

use std::path::Path;

use super::services::Services;
use super::{CommandError, endpoints};
use crate::dataset::files::Origin;
use crate::dataset::types::column_type;
use crate::dataset::{BETS, Dataset, DatasetError, check_together};
use crate::domain::columns::Columns;
use crate::settings::{LoaderKind, ServeOptions};

/// Reads the selected datasets.
///
/// # Errors
/// One does not exist or has a mistake, two cannot be served together, or an option does not apply.
pub(super) fn select(options: &ServeOptions, services: &Services) -> Result<Vec<Dataset>, CommandError> {
    let wrong = |error: DatasetError| CommandError::usage(error.to_string());
    let directories: Vec<Origin> =
        options.dataset_directories.iter().cloned().map(Origin::Directory).collect();
    let mut datasets: Vec<Dataset> = Vec::new();
    for name in &options.datasets {
        if datasets.iter().any(|dataset| dataset.name == *name) {
            return Err(CommandError::usage(format!("--dataset {name} is given twice")));
        }
        let mut dataset = Dataset::read(name, &directories).map_err(wrong)?;
        if name == BETS {
            if let Some(topic) = &services.topic {
                dataset = dataset.with_topics(topic.clone(), format!("{topic}-dlq"));
            }
            if let Some(path) = &options.schema {
                dataset = with_schema(dataset, path)?;
            }
        } else if options.services.loader == LoaderKind::ClickHouse {
            return Err(CommandError::usage(format!(
                "--loader clickhouse loads bets only; serve the dataset {name} with --loader roundhouse"
            )));
        }
        datasets.push(dataset);
    }
    if options.schema.is_some() && !datasets.iter().any(|dataset| dataset.name == BETS) {
        return Err(CommandError::usage("--schema is the schema of bets; add --dataset bets".to_owned()));
    }
    check_together(&datasets).map_err(wrong)?;
    endpoints::check(&datasets)?;
    Ok(datasets)
}

/// Gives bets the schema in a file.
fn with_schema(bets: Dataset, path: &Path) -> Result<Dataset, CommandError> {
    let wrong =
        |error: &dyn std::fmt::Display| CommandError::usage(format!("--schema {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let columns = Columns::parse(&text).map_err(|error| wrong(&error))?;
    columns.single_key().map_err(|error| wrong(&error))?;
    check(&columns, &bets.columns).map_err(|error| wrong(&error))?;
    Ok(bets.with_schema(text, columns))
}

fn check(columns: &Columns, built_in: &Columns) -> Result<(), String> {
    for column in built_in.iter() {
        match columns.iter().find(|found| found.name == column.name) {
            None => return Err(format!("it lacks the built-in column {}", column.name)),
            Some(found) if column_type(found) != column_type(column) => {
                return Err(format!("the built-in column {} has another type", column.name));
            }
            Some(_) => {}
        }
    }
    let required =
        columns.iter().find(|column| !column.is_nullable() && built_in.position(&column.name).is_none());
    match required {
        Some(column) => {
            Err(format!("the column {} must be nullable, because stored rounds do not have it", column.name))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&str) -> String) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bets = Dataset::read(BETS, &[]).unwrap();
        std::fs::write(file.path(), change(&bets.schema)).unwrap();
        match with_schema(bets, file.path()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.message.unwrap_or_default(),
        }
    }

    #[test]
    fn a_schema_that_queries_cannot_use_is_refused() {
        assert_eq!(refusal(str::to_owned), "accepted");
        assert!(refusal(|_| "{}".to_owned()).contains("not an Avro schema"));
        assert!(
            refusal(|text| text.replace("bonus_amount_win", "x"))
                .contains("lacks the built-in column bonus_amount_win")
        );
        assert!(refusal(|text| text.replace("\"scale\": 8", "\"scale\": 6")).contains("has another type"));
        let required = r#""fields": [ { "name": "channel", "type": "string" },"#;
        assert!(
            refusal(|text| text.replace("\"fields\": [", required))
                .contains("the column channel must be nullable")
        );
    }
}
