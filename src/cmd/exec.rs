//! `exec`

use std::io::{self, IsTerminal as _};

use container_core::{ExecRequest, Stdio};
use rustix::process::Signal;

use super::request::env_files;
use super::run::exit_code;
use crate::cli::container::ExecArgs;
use crate::error::Error;
use crate::flags::{detach_keys, env};
use crate::settings::Settings;
use crate::term::console::Console;
use crate::term::signals::Signals;
use crate::{environment, term};

/// Runs a further process in a container; the exit code is its own.
pub(crate) fn run(settings: &Settings, args: ExecArgs) -> Result<u8, Error> {
    let keys = detach_keys::parse(args.detach_keys.as_deref())?;
    let input = args.interactive && !args.detach;
    if input && args.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    let mut words = args.container_and_command.into_iter();
    let name = words.next().unwrap_or_default();
    let mut env: Vec<String> = env_files(&args.env_file)?.into_iter().flatten().collect();
    let set = args.env.iter();
    env.extend(set.map(|text| env::lookup(text, &environment::raw)));
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let request = ExecRequest {
        args: words.collect(),
        env,
        workdir: given(args.workdir),
        user: given(args.user),
        privileged: args.privileged,
        detach: args.detach,
        tty: args.tty,
        console_size: args.tty.then(|| term::size(io::stdout())).flatten(),
    };
    let container = settings.engine()?.get(&name)?;
    let system = |action| move |source| Error::System { action, source };
    super::runtime()?.block_on(async {
        let mut signals = match args.tty && !args.detach {
            // The terminal's mode is brought back whatever ends this program.
            true => Some(Signals::ending_and_resize().map_err(system("catch signals"))?),
            false => None,
        };
        let mut process = container.exec(Vec::<String>::new()).request(request);
        if !args.detach && !args.tty {
            let stdin = if input { Stdio::Inherit } else { Stdio::Null };
            process = process
                .stdin(stdin)
                .stdout(Stdio::Inherit)
                .stderr(Stdio::Inherit);
        }
        let mut process = process.start().await?;
        if args.detach {
            return Ok(0);
        }
        let Some(master) = process.streams.terminal.take() else {
            return Ok(exit_code(process.wait().await?.code));
        };
        let console = Console::open(master, input.then_some(keys));
        let mut console = console.map_err(system("use the process's terminal"))?;
        loop {
            let signal = async {
                match &mut signals {
                    Some(signals) => signals.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                exit = process.wait() => {
                    console.finish();
                    return Ok(exit_code(exit?.code));
                }
                () = console.detached() => {
                    drop(console);
                    process.detach().await?;
                    return Err(Error::Detached);
                }
                signal = signal => match signal {
                    Signal::WINCH => console.resize(),
                    // Dropping the process ends it, dropping the console brings the mode back.
                    signal => return Ok(exit_code(128 + signal.as_raw())),
                },
            }
        }
    })
}
