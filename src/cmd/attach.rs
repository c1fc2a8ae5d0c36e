//! `attach`

use std::io::{self, IsTerminal as _};

use container_core::Status;

use super::run::exit_code;
use crate::cli::streams::AttachArgs;
use crate::error::Error;
use crate::flags::detach_keys;
use crate::settings::Settings;
use crate::term::session::{Ended, Session};

/// Connects with the streams of a container that runs; the exit code is its process's.
pub(crate) fn run(settings: &Settings, args: AttachArgs) -> Result<u8, Error> {
    let container = settings.engine()?.get(&args.container)?;
    let inspect = container.inspect()?;
    let not = |state, remedy| Err(Error::NotAttachable { state, remedy });
    match inspect.state.status {
        Status::Running => {}
        Status::Paused => return not("paused", "unpause it first"),
        Status::Restarting => return not("restarting", "wait until it is running"),
        _ => return not("stopped", "start it first"),
    }
    let request = inspect.record.request;
    let stdin = request.open_stdin && !args.no_stdin;
    if stdin && request.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    let session = Session {
        stdin,
        stdout: true,
        stderr: true,
        tty: request.tty,
        sig_proxy: args.sig_proxy,
        keys: detach_keys::parse(args.detach_keys.as_deref())?,
    };
    super::runtime()?.block_on(async {
        let mut signals = session.signals()?;
        let mut attached = container.attach(session.attach()).await?;
        if session.tty {
            session.redraw(&container).await?;
        }
        match session.run(&container, &mut attached, &mut signals).await? {
            Ended::Exited(exit) => Ok(exit_code(exit.code)),
            Ended::Interrupted(signal) => Ok(exit_code(128 + signal.as_raw())),
            Ended::Detached | Ended::Typed => Err(Error::Detached),
        }
    })
}
