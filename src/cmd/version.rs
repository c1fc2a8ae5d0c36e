//! `version`

use std::env::consts::{ARCH, OS};

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
struct Version {
    client: Program,
    server: Program,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename = "system.clientVersion", rename_all = "PascalCase")]
struct Program {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

/// `mini-docker --version`.
pub(crate) fn one_line() -> String {
    format!("{NAME} version {VERSION}\n")
}

/// Prints the version. Client and engine are one program, so there is one.
pub(crate) fn run(_: &Settings, args: FormatArgs) -> Result<u8, Error> {
    let text = match args.format.as_deref() {
        None | Some("") => format!(
            "{NAME}:\n Version:           {VERSION}\n OS/Arch:           {OS}/{ARCH}\n \
             Daemon:            none, containers are run by this program\n"
        ),
        Some(format) => {
            let one = Program {
                version: VERSION,
                os: OS,
                arch: ARCH,
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
