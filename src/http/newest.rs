//! Lists in pages, newest first. Their ids are UUIDs of version 7, which sort by time.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::parameters::Parameters;
use super::problem::Problem;

pub const DEFAULT_LIMIT: u64 = 50;
pub const MAX_LIMIT: u64 = 1000;

/// The requested page.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    limit: u64,
    /// Only older items.
    pub before: Option<Uuid>,
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
    /// Takes `limit` and `cursor`, the only parameters of such a list.
    ///
    /// # Errors
    /// A value is invalid, or there is another parameter.
    pub fn of(mut parameters: Parameters) -> Result<Self, Problem> {
        let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
        let cursor = parameters.one("cursor")?.filter(|cursor| !cursor.is_empty());
        parameters.finish("limit, cursor")?;
        let not_a_cursor = |_| Problem::must_be("cursor", "the next_cursor of a page of this list");
        let before = cursor.map(|text| Uuid::try_parse(&text).map_err(not_a_cursor)).transpose()?;
        Ok(Self { limit, before })
    }

    /// How many items to fetch: one more than the page shows, to know whether there is a next page.
    pub fn wanted(self) -> u64 {
        self.limit + 1
    }

    /// Keeps the items of the page, and returns where the next page of the list at `path` is.
    pub fn cut<T>(self, path: &str, items: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> (Position, Links) {
        let is_more = items.len() as u64 > self.limit;
        items.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        let next_cursor = items.last().filter(|_| is_more).map(id);
        let next = next_cursor.map(|cursor| format!("{path}?limit={}&cursor={cursor}", self.limit));
        (Position { limit: self.limit, next_cursor }, Links { next })
    }
}
