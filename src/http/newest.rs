//! Lists that are shown newest first, page by page; their ids are UUIDs of version 7, in the order of time.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::parameters::Parameters;
use super::problem::Problem;

pub const DEFAULT_LIMIT: u64 = 50;
pub const MAX_LIMIT: u64 = 1000;

/// Which page is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    limit: u64,
    /// Only what is older.
    pub before: Option<Uuid>,
}

/// Where a page is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListPosition)]
pub struct Position {
    limit: u64,
    /// Null where this page is the last.
    #[schema(required)]
    next_cursor: Option<Uuid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListLinks)]
pub struct Links {
    /// Null where this page is the last.
    #[schema(required)]
    next: Option<String>,
}

impl Newest {
    /// Takes `limit` and `cursor`, which are all parameters of such a list.
    ///
    /// # Errors
    /// One of them cannot be used, or is another one.
    pub fn of(mut parameters: Parameters) -> Result<Self, Problem> {
        let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
        let cursor = parameters.one("cursor")?;
        parameters.finish("limit, cursor")?;
        let not_a_cursor = |_| Problem::must_be("cursor", "the next_cursor of a page of this list");
        let before = cursor.map(|text| Uuid::try_parse(&text).map_err(not_a_cursor)).transpose()?;
        Ok(Self { limit, before })
    }

    /// How many are to be fetched: one more than is shown, which says whether there is a next page.
    pub fn wanted(self) -> u64 {
        self.limit + 1
    }

    /// Leaves what is shown of what was fetched, and says where the next page of the list at `path` is.
    pub fn cut<T>(self, path: &str, items: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> (Position, Links) {
        let is_more = items.len() as u64 > self.limit;
        items.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let next_cursor = items.last().filter(|_| is_more).map(id);
        let next = next_cursor.map(|cursor| format!("{path}?limit={}&cursor={cursor}", self.limit));
        (Position { limit: self.limit, next_cursor }, Links { next })
    }
}
