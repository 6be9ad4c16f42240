//! Web pages of other origins, in a real browser and by the headers that browsers send. They can neither change nor see anything.

mod browser;
mod headers;
