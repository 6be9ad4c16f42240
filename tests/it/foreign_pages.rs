//! Web pages of others, in a real browser and by the headers that browsers send: they change nothing, and see nothing.

mod browser;
mod headers;
