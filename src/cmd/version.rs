//! `version`

use std::env::consts::OS;

use container_core::image::Platform;
use serde::Serialize;

use crate::cli::NAME;
use crate::cli::program::FormatArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names are Docker's.
#[derive(Debug, Serialize)]
#[serde(rename = "system.versionInfo", rename_all = "PascalCase")]
struct Version<'a> {
    client: Program<'a>,
    server: Program<'a>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename = "system.clientVersion", rename_all = "PascalCase")]
struct Program<'a> {
    version: &'static str,
    os: &'static str,
    arch: &'a str,
}

/// `mini-docker --version`.
pub(crate) fn one_line() -> String {
    format!("{NAME} version {VERSION}\n")
}

/// Prints the version. Client and engine are one program, so there is one.
pub(crate) fn run(_: &Settings, args: FormatArgs) -> Result<u8, Error> {
    // By Go's names of architectures, as in images.
    let platform = Platform::host();
    let arch = platform.architecture();
    let text = match args.format.as_deref() {
        None | Some("") => format!(
            "{NAME}:\n Version:           {VERSION}\n OS/Arch:           {OS}/{arch}\n \
             Daemon:            none, containers are run by this program\n"
        ),
        Some(format) => {
            let one = Program {
                version: VERSION,
                os: OS,
                arch,
            };
            super::formatted(
                format,
                &Version {
                    client: one,
                    server: one,
                },
            )?
        }
    };
    print::out(&text).map(|()| 0)
}
