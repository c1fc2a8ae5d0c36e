//! `run`

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use container_core::request::Request;
use container_core::{Container, ContainerBuilder, Engine, Pull, Stdio};
use rustix::process::Signal;

use super::request::{Choice, CidFile, read_and_request, with_image};
use crate::cli::run::{RunArgs, Stream};
use crate::error::Error;
use crate::settings::Settings;
use crate::term::pump;
use crate::term::raw::RawMode;
use crate::term::signals::Signals;
use crate::{print, term};

/// Which streams are the container's, and how.
#[derive(Debug, Clone, Copy)]
struct Attach {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    sig_proxy: bool,
}

/// Runs a container; the exit code is its process's.
pub(crate) fn run(settings: &Settings, args: RunArgs) -> Result<u8, Error> {
    let RunArgs {
        container: args,
        detach,
        sig_proxy,
    } = args;
    if detach && !args.attach.is_empty() {
        return Err(Error::AttachDetach);
    }
    let attached = |stream| !detach && (args.attach.is_empty() || args.attach.contains(&stream));
    let attach = Attach {
        stdin: args.interactive && attached(Stream::Stdin),
        stdout: attached(Stream::Stdout),
        stderr: attached(Stream::Stderr),
        tty: args.tty,
        sig_proxy,
    };
    if attach.stdin && attach.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    let choice = Choice::of(settings, &args)?;
    let cid_path = args.cidfile.clone();
    let request = read_and_request(args)?;
    let cid_file = cid_path.map(CidFile::create).transpose()?;
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        // Caught from before the start, so that none is lost in between.
        let mut signals = match (detach, attach.tty, attach.sig_proxy) {
            (true, ..) | (false, false, false) => None,
            (false, true, _) => Some(Signals::ending_and_resize()),
            (false, false, true) => Some(Signals::forwarded()),
        }
        .transpose()
        .map_err(|source| Error::System {
            action: "catch signals",
            source,
        })?;
        let attempt = async || builder(&engine, &request, &choice, attach).start().await;
        let mut container = with_image(&engine, &request.image, &choice, attempt).await?;
        for warning in container.warnings() {
            print::err(&format!("WARNING: {warning}"));
        }
        if let Some(file) = cid_file {
            file.write(container.id())?;
        }
        if detach {
            container.detach().await?;
            return print::out(&format!("{}\n", container.id())).map(|()| 0);
        }
        attached_run(container, attach, signals.as_mut()).await
    })
}

fn builder(
    engine: &Engine,
    request: &Request,
    choice: &Choice,
    attach: Attach,
) -> ContainerBuilder {
    let mut builder = engine
        .container(request.image.as_str())
        .request(request.clone())
        .pull(Pull::Never);
    if let Some(platform) = &choice.platform {
        builder = builder.platform(platform.clone());
    }
    if attach.tty {
        return builder;
    }
    let choose = |attached, otherwise| if attached { Stdio::Inherit } else { otherwise };
    builder
        .stdin(choose(attach.stdin, Stdio::Null))
        .stdout(choose(attach.stdout, Stdio::Log))
        .stderr(choose(attach.stderr, Stdio::Log))
}

/// Waits for the container's end, with its terminal on ours, signals forwarded.
async fn attached_run(
    mut container: Container,
    attach: Attach,
    mut signals: Option<&mut Signals>,
) -> Result<u8, Error> {
    let system = |action| move |source| Error::System { action, source };
    let mut screen = None;
    let mut terminal = None;
    let mut raw = None;
    if let Some(master) = container.streams.terminal.take() {
        let clone = || {
            master
                .try_clone()
                .map_err(system("use the container's terminal"))
        };
        if attach.stdin {
            raw = Some(RawMode::enter(io::stdin()).map_err(system("set the terminal's mode"))?);
            pump::keyboard(clone()?).map_err(system("start a thread"))?;
        }
        if attach.stdout || attach.stderr {
            screen = Some(pump::screen(clone()?).map_err(system("start a thread"))?);
        }
        // The size may have changed since the request was made.
        term::copy_size(io::stdout(), master.as_fd());
        terminal = Some(master);
    }
    let status = loop {
        let signal = async {
            match &mut signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = container.wait() => break status?,
            signal = signal => match &terminal {
                Some(terminal) if signal == Signal::WINCH => {
                    term::copy_size(io::stdout(), terminal.as_fd());
                }
                // Dropping the container ends it, dropping `raw` brings the terminal's mode back.
                Some(_) => return Ok(exit_code(128 + signal.as_raw())),
                None => match container.kill(signal.as_raw()).await {
                    // It ended in the same moment: the wait tells.
                    Ok(()) | Err(container_core::Error::NotRunning { .. }) => {}
                    Err(error) => return Err(error.into()),
                },
            },
        }
    };
    if let Some(screen) = screen {
        screen.finish();
    }
    drop(raw);
    Ok(exit_code(status.code))
}

pub(super) fn exit_code(code: i32) -> u8 {
    // wait(2) gives eight bits.
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
