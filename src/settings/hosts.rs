//! Under which names the HTTP listeners answer.

use clap::Args;

use crate::guard::Host;

#[derive(Clone, Debug, Default, Args)]
pub struct HostOptions {
    /// Host name of this server, perhaps with a port, for clients that use another than localhost or its address: behind a proxy, in a
    /// container network. May be repeated, or be separated by commas in the variable. Requests for other names are answered 421
    #[arg(
        long = "allowed-host",
        value_name = "NAME",
        value_delimiter = ',',
        env = "ROUNDHOUSE_ALLOWED_HOSTS"
    )]
    pub allowed_hosts: Vec<Host>,
}
