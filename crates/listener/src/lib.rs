//! What the HTTP listeners of Roundhouse share: the API, the embedded registry and the embedded ClickHouse. It knows none of them.
//!
//! [`guard`] decides which requests are accepted, [`http1`] limits their heads and serves connections. [`accept`], [`content`] and [`list`]
//! read headers.

pub mod accept;
pub mod content;
pub mod guard;
pub mod http1;
pub mod list;
