//! `start`

use std::io::{self, IsTerminal as _};

use super::run::exit_code;
use crate::cli::container::StartArgs;
use crate::error::Error;
use crate::flags::detach_keys;
use crate::print;
use crate::settings::Settings;
use crate::term::session::{Ended, Session};

/// Starts containers that were made or have ended.
pub(crate) fn run(settings: &Settings, args: StartArgs) -> Result<u8, Error> {
    if args.attach || args.interactive {
        return match args.containers.as_slice() {
            [name] => attached(settings, &args, name),
            _ => Err(Error::AttachSeveral),
        };
    }
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let mut failed = Vec::new();
        for name in &args.containers {
            let started = match engine.get(name) {
                Ok(container) => container.start().await,
                Err(error) => Err(error),
            };
            match started {
                Ok(()) => print::out(&format!("{name}\n"))?,
                // Told as they come, unlike by the other verbs.
                Err(error) => {
                    print::err(&Error::from(error).text(None));
                    failed.push(name.as_str());
                }
            }
        }
        match failed.is_empty() {
            true => Ok(0),
            false => Err(Error::NotStarted(failed.join(", "))),
        }
    })
}

/// Starts one with its streams on ours; the exit code is its process's.
fn attached(settings: &Settings, args: &StartArgs, name: &str) -> Result<u8, Error> {
    let container = settings.engine()?.get(name)?;
    let inspect = container.inspect()?;
    let request = inspect.record.request;
    let session = Session {
        stdin: args.interactive && request.open_stdin,
        stdout: true,
        stderr: true,
        tty: request.tty,
        sig_proxy: true,
        keys: detach_keys::parse(args.detach_keys.as_deref())?,
    };
    if session.stdin && session.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    super::runtime()?.block_on(async {
        let mut signals = session.signals()?;
        let ran = inspect.state.status.is_live();
        let mut attached = container.start_attached(session.attach()).await?;
        match session.tty {
            true if ran => session.redraw(&container).await?,
            true => session.resize(&container).await?,
            false => {}
        }
        match session.run(&container, &mut attached, &mut signals).await? {
            Ended::Exited(exit) => Ok(exit_code(exit.code)),
            Ended::Interrupted(signal) => Ok(exit_code(128 + signal.as_raw())),
            Ended::Detached | Ended::Typed => Ok(0),
        }
    })
}
