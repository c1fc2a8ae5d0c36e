//! `exec`

use std::io::{self, IsTerminal as _};

use container_core::{ExecRequest, ExitStatus, Stdio};
use rustix::process::Signal;

use super::request::env_files;
use super::run::exit_code;
use crate::cli::container::ExecArgs;
use crate::error::Error;
use crate::flags::env;
use crate::settings::Settings;
use crate::term::console::Console;
use crate::term::signals::Signals;
use crate::{environment, term};

/// Runs a further process in a container; the exit code is its own.
pub(crate) fn run(settings: &Settings, args: ExecArgs) -> Result<u8, Error> {
    if args.detach_keys.is_some_and(|keys| !keys.is_empty()) {
        return Err(Error::FlagLater {
            flag: "detach-keys",
            why: "detaching from a running process comes next",
        });
    }
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
        let console = match process.streams.terminal.take() {
            Some(master) => {
                let console = Console::open(master, input);
                Some(console.map_err(system("use the process's terminal"))?)
            }
            None => None,
        };
        let ended = async { Ok::<_, Error>(process.wait().await?) };
        let status = match (&mut signals, &console) {
            (Some(signals), Some(console)) => {
                tokio::select! {
                    status = ended => status?,
                    // Dropping the process ends it, dropping the console brings the mode back.
                    signal = interrupted(signals, console) => {
                        return Ok(exit_code(128 + signal.as_raw()));
                    }
                }
            }
            _ => ended.await?,
        };
        if let Some(console) = console {
            console.finish();
        }
        let ExitStatus { code, .. } = status;
        Ok(exit_code(code))
    })
}

/// Follows the window's size until a signal comes that ends programs.
async fn interrupted(signals: &mut Signals, console: &Console) -> Signal {
    loop {
        match signals.next().await {
            Signal::WINCH => console.resize(),
            signal => return signal,
        }
    }
}
