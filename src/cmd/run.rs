//! `run`

use std::io::{self, IsTerminal as _};

use container_core::request::{Request, RestartPolicy};
use container_core::{Container, ContainerBuilder, Engine, Pull, Stdio};

use super::request::{Choice, CidFile, read_and_request, with_image};
use crate::cli::run::RunArgs;
use crate::error::Error;
use crate::flags::detach_keys;
use crate::print;
use crate::settings::Settings;
use crate::term::session::{Ended, Session};
use crate::term::signals::Signals;

/// Runs a container; the exit code is its process's.
pub(crate) fn run(settings: &Settings, args: RunArgs) -> Result<u8, Error> {
    let RunArgs {
        container: args,
        detach,
        detach_keys,
        sig_proxy,
    } = args;
    if detach && !args.attach.is_empty() {
        return Err(Error::AttachDetach);
    }
    let choice = Choice::of(settings, &args)?;
    let cid_path = args.cidfile.clone();
    let keys = detach_keys::parse(detach_keys.as_deref())?;
    let mut request = read_and_request(args)?;
    if detach {
        // Whoever attaches later may be gone, and another may come.
        (request.attach_stdin, request.stdin_once) = (false, false);
        (request.attach_stdout, request.attach_stderr) = (false, false);
    }
    let session = Session {
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        tty: request.tty,
        sig_proxy,
        keys,
    };
    if session.stdin && session.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    let cid_file = cid_path.map(CidFile::create).transpose()?;
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let mut signals = match detach {
            true => None,
            false => session.signals()?,
        };
        let attempt = async || builder(&engine, &request, &choice, &session).start().await;
        let mut container = with_image(&engine, &request.image, &choice, attempt).await?;
        for warning in container.warnings() {
            print::err(&format!("WARNING: {warning}"));
        }
        if let Some(file) = cid_file {
            file.write(container.id())?;
        }
        if !session.stdout && !session.stderr {
            print::out(&format!("{}\n", container.id()))?;
        }
        if detach {
            container.detach().await?;
            return Ok(0);
        }
        attached(container, &request, &session, &mut signals).await
    })
}

fn builder(
    engine: &Engine,
    request: &Request,
    choice: &Choice,
    session: &Session,
) -> ContainerBuilder {
    let mut builder = engine
        .container(request.image.as_str())
        .request(request.clone())
        .pull(Pull::Never);
    if let Some(platform) = &choice.platform {
        builder = builder.platform(platform.clone());
    }
    if is_direct(request, session) {
        let choose = |wanted| if wanted { Stdio::Inherit } else { Stdio::Null };
        return builder
            .stdin(choose(session.stdin))
            .stdout(Stdio::Inherit)
            .stderr(Stdio::Inherit);
    }
    if session.stdin || session.stdout || session.stderr {
        builder = builder.attach(session.attach());
    }
    builder
}

/// What is not logged and goes nowhere but here needs nobody in between.
fn is_direct(request: &Request, session: &Session) -> bool {
    let all = session.stdout && session.stderr && session.stdin == request.open_stdin;
    let once = request.restart == RestartPolicy::No;
    request.log.driver == "none" && all && once && !session.tty
}

/// Waits for the container's end, with its streams on ours.
async fn attached(
    mut container: Container,
    request: &Request,
    session: &Session,
    signals: &mut Option<Signals>,
) -> Result<u8, Error> {
    let Some(mut attached) = container.take_attached() else {
        return direct(&container, signals).await;
    };
    // The window may have changed since the request was made.
    if session.tty && crate::term::size(io::stdout()) != request.console_size {
        session.resize(&container).await?;
    }
    let exit = match session.run(&container, &mut attached, signals).await? {
        Ended::Exited(exit) => exit,
        Ended::Detached | Ended::Typed => {
            container.detach().await?;
            return Ok(0);
        }
        // Dropping the container ends it.
        Ended::Interrupted(signal) => return Ok(exit_code(128 + signal.as_raw())),
    };
    match request.restart {
        // It is cleaned up, and removed if it is to be.
        RestartPolicy::No => _ = container.wait().await?,
        // It goes on without us.
        _ => container.detach().await?,
    }
    Ok(exit_code(exit.code))
}

/// The same where its streams are ours.
async fn direct(container: &Container, signals: &mut Option<Signals>) -> Result<u8, Error> {
    loop {
        let signal = async {
            match signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            exit = container.wait() => return Ok(exit_code(exit?.code)),
            signal = signal => crate::term::session::forward(container, signal).await?,
        }
    }
}

pub(super) fn exit_code(code: i32) -> u8 {
    // wait(2) gives eight bits.
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
