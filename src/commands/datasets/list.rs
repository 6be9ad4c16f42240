//! `roundhouse datasets list`: the datasets that come with the program, and those of directories.

use serde::Serialize;

use crate::commands::CommandError;
use crate::commands::table;
use crate::dataset::files::Origin;
use crate::dataset::{Dataset, DatasetError};
use crate::settings::DatasetsListOptions;

/// A dataset as the list has it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    title: String,
    topic: String,
    table: String,
    key: Vec<String>,
    endpoints: Vec<String>,
    checks: Vec<String>,
    /// The directory of its files. None: it comes with the program.
    directory: Option<String>,
}

#[derive(Debug, Serialize)]
struct List {
    items: Vec<Listed>,
}

pub(super) fn run(options: &DatasetsListOptions) -> Result<(), CommandError> {
    let mut items = Vec::new();
    let directories = options.directories.iter().cloned().map(Origin::Directory);
    for origin in std::iter::once(Origin::Shipped).chain(directories) {
        let names = origin.names().map_err(failed)?;
        for name in names {
            let dataset = Dataset::read(&name, std::slice::from_ref(&origin)).map_err(failed)?;
            items.push(Listed::of(dataset, &origin));
        }
    }
    if options.json {
        let text = serde_json::to_string(&List { items })
            .map_err(|error| CommandError::failed(error.to_string()))?;
        return table::print(format_args!("{text}\n"));
    }
    let mut list = table::new(["dataset", "title", "topic", "table", "key", "endpoints"].into_iter());
    for item in items {
        let (key, endpoints) = (item.key.join(", "), item.endpoints.join(", "));
        list.add_row([item.name, item.title, item.topic, item.table, key, endpoints]);
    }
    table::print(format_args!("{list}\n"))
}

impl Listed {
    fn of(dataset: Dataset, origin: &Origin) -> Self {
        let key = dataset.columns.key().unwrap_or_default().iter();
        Self {
            key: key.filter_map(|at| dataset.columns.get(*at)).map(|column| column.name.clone()).collect(),
            name: dataset.name,
            title: dataset.title,
            topic: dataset.topic,
            table: dataset.table,
            endpoints: dataset.endpoints.into_iter().map(|file| file.name).collect(),
            checks: dataset.checks.into_iter().map(|file| file.name).collect(),
            directory: match origin {
                Origin::Shipped => None,
                Origin::Directory(directory) => Some(directory.display().to_string()),
            },
        }
    }
}

fn failed(error: DatasetError) -> CommandError {
    CommandError::failed(error.to_string())
}
