//! The host names that the HTTP listeners accept.

use clap::Args;

use roundhouse_listener::guard::Host;

#[derive(Clone, Debug, Default, Args)]
pub struct HostOptions {
    /// Host name, optionally with a port, that clients use for this server besides localhost and its address, such as the name of a
    /// proxy or container. Repeatable; in the variable, separate names by commas. Requests for other names get 421
    #[arg(
        long = "allowed-host",
        value_name = "NAME",
        value_delimiter = ',',
        env = "ROUNDHOUSE_ALLOWED_HOSTS"
    )]
    pub allowed_hosts: Vec<Host>,
}
