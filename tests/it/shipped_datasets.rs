//! The files of the datasets `steps` and `prices`.

use roundhouse::dataset::Dataset;
use roundhouse::dataset::endpoint::Endpoint;

#[test]
fn the_endpoints_of_steps_and_prices_can_be_read() {
    for (dataset, aliases) in [
        ("steps", ["/highest_value", "/longest_step_chain", "/part/{value}", "/plot/{number}"].as_slice()),
        ("prices", &["/prices/latest", "/prices/ohlc", "/prices/pairs", "/prices/recent"]),
    ] {
        let dataset = Dataset::read(dataset, &[]).unwrap();
        let endpoints = dataset.endpoints.iter().map(|file| Endpoint::parse(file).unwrap());
        let mut paths: Vec<String> =
            endpoints.flat_map(|endpoint| endpoint.aliases).map(|alias| alias.path()).collect();
        paths.sort_unstable();
        assert_eq!(paths, aliases);
    }
}
