//! `port`

use crate::cli::container::PortArgs;
use crate::error::Error;
use crate::flags::port;
use crate::settings::Settings;

/// Lists the published ports of a container: none, until there are networks.
pub(crate) fn run(settings: &Settings, args: PortArgs) -> Result<u8, Error> {
    if let Some(text) = &args.port {
        port::range(text)?;
    }
    settings.engine()?.get(&args.container)?;
    match args.port {
        None => Ok(0),
        Some(port) => Err(Error::NotPublished {
            // Docker says the protocol, whether it was given or not.
            port: match port.contains('/') {
                true => port,
                false => port + "/tcp",
            },
            container: args.container,
        }),
    }
}
