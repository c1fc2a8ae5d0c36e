//! `top`: the machine's ps(1), of which the container's processes are shown.

use std::process::Command;

use crate::cli::container::TopArgs;
use crate::error::Error;
use crate::print::{self, processes, table};
use crate::settings::Settings;

/// Shows the processes of a container.
pub(crate) fn run(settings: &Settings, args: TopArgs) -> Result<u8, Error> {
    let mut words = args.container_and_options.into_iter();
    let name = words.next().unwrap_or_default();
    let mut options: Vec<String> = words.collect();
    if options.is_empty() {
        options.push("-ef".to_owned());
    }
    let processes = settings.engine()?.get(&name)?.processes()?;
    let pids: Vec<String> = processes.iter().map(ToString::to_string).collect();
    // Some options (`f`) do not go with a list of processes; then all are asked for.
    let mut asked = options.clone();
    asked.push(format!("-q{}", pids.join(",")));
    let listed = match ps(&asked) {
        Ok(listed) => listed,
        Err(_) => ps(&options)?,
    };
    let rows = processes::of(&listed, &pids).ok_or(Error::NoPids)?;
    print::out(&table::align(&rows, processes::NARROWEST)).map(|()| 0)
}

/// What ps prints.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's room: Docker's `top` is the machine's ps, whose options it takes"
)]
fn ps(options: &[String]) -> Result<String, Error> {
    let output = Command::new("ps").args(options).output();
    let output = output.map_err(|source| Error::System {
        action: "run ps (Debian: procps, Fedora: procps-ng)",
        source,
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Error::Ps(
                said.lines().next().unwrap_or_default().to_owned(),
            ))
        }
    }
}
