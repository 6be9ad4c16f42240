//! Parameters in paths and headers. Those of queries are described by [`crate::http::parameters`].

use crate::http::parameters::describe::{one_of, text, uuid};

/// A parameter that is not in the query.
macro_rules! outside_query {
    ($(#[$about:meta])* $name:ident: $place:ident, $key:literal, $text:literal, $schema:expr) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name;

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                use utoipa::openapi::path::ParameterIn;
                vec![$crate::http::parameters::describe::parameter(ParameterIn::$place, $key, $text, $schema).build()]
            }
        }
    };
}

pub(super) use outside_query;

outside_query!(
    /// The id in a path.
    Id: Path, "id", "The id returned when the file was sent", uuid()
);

outside_query!(
    /// The name of a dataset.
    DatasetName: Path, "name", "The name of the dataset, such as bets", text()
);

outside_query!(
    /// The entity tag that the client has.
    IfNoneMatch: Header, "If-None-Match", "The `ETag` of an earlier response: 304 if nothing has changed since", text()
);

outside_query!(
    /// The compression of a body.
    ContentEncoding: Header, "Content-Encoding", "Compression of the request body. Not supported for multipart forms",
    one_of(["gzip", "x-gzip", "zstd", "identity", ""]).default(Some("identity".into()))
);

impl DatasetName {
    pub(super) const NAME: &'static str = "name";
}
