//! What the HTTP listeners of Roundhouse share: the API, the embedded registry and the embedded ClickHouse. It knows none of them.

pub mod guard;
pub mod http1;
