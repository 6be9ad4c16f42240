//! Where a stored row comes from: the columns that a row table has besides those of the schema.

use super::native::Other;
use crate::dataset::Dataset;

const ORIGIN: [Other; 3] = [
    Other { name: "kafka_epoch", kind: "UInt32", width: 4, repeats: true },
    Other { name: "kafka_partition", kind: "UInt16", width: 2, repeats: true },
    Other { name: "kafka_offset", kind: "UInt64", width: 8, repeats: false },
];

/// A column of row tables with a key: the views leave the row out.
const RECOUNTED: Other = Other { name: "recounted", kind: "Bool", width: 1, repeats: true };

/// Returns the columns that a row table has besides those of the schema.
pub fn origin_columns(dataset: &Dataset) -> impl Iterator<Item = Other> + use<> {
    ORIGIN.into_iter().chain(dataset.has_key().then_some(RECOUNTED))
}
