//! Lists in pages, newest first. Their ids are UUIDs of version 7, which sort by time.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::parameters::describe::text;
use super::parameters::values::{Value, limit};
use super::parameters::{Parameter, query};

query! {
    /// The requested page.
    pub struct Newest {
        /// Rows of a page
        limit: u64 = limit(50, 1000),
        /// The `next_cursor` of the page before; empty for the first page
        cursor: Option<Uuid> = cursor(),
    }
}

/// The id of the last item of a page, or nothing.
fn cursor() -> Parameter<Option<Uuid>> {
    let schema = text().pattern(Some("^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"));
    let read = |text: &str| match text {
        "" => Ok(None),
        text => {
            Uuid::try_parse(text).map(Some).map_err(|_| "the next_cursor of a page of this list".to_owned())
        }
    };
    Value::new(schema, read).or("")
}

/// The position of a page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListPosition)]
pub struct Position {
    limit: u64,
    /// Null on the last page.
    #[schema(required)]
    next_cursor: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListLinks)]
pub struct Links {
    /// Null on the last page.
    #[schema(required)]
    next: Option<String>,
}

impl Newest {
    /// Only items that are older than this one.
    pub fn before(&self) -> Option<Uuid> {
        self.cursor
    }

    /// How many items to fetch: one more than the page shows, to know whether there is a next page.
    pub fn wanted(&self) -> u64 {
        self.limit + 1
    }

    /// Keeps the items of the page, and returns where the next page of the list at `path` is.
    pub fn cut<T>(&self, path: &str, items: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> (Position, Links) {
        let limit = self.limit;
        let is_more = items.len() as u64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = items.last().filter(|_| is_more).map(id);
        let next = next_cursor.map(|cursor| format!("{path}?limit={limit}&cursor={cursor}"));
        (Position { limit, next_cursor }, Links { next })
    }
}
