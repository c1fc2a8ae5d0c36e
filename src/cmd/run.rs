//! `run`

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use container_core::request::Request;
use container_core::{Container, ContainerBuilder, Engine, Pull, Stdio};
use rustix::process::Signal;

use crate::cli::run::{RunArgs, Stream};
use crate::error::Error;
use crate::flags::request::{Outside, request};
use crate::flags::security::{self, SeccompSource};
use crate::flags::{env, label};
use crate::print::progress::Output;
use crate::settings::Settings;
use crate::term::pump;
use crate::term::raw::RawMode;
use crate::term::signals::Signals;
use crate::{environment, print, term};

/// Which streams are the container's, and how.
#[derive(Debug, Clone, Copy)]
struct Attach {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    sig_proxy: bool,
}

/// Which image the container gets, apart from its name.
struct Choice {
    platform: Option<container_core::image::Platform>,
    pull: Pull,
    quiet: bool,
}

/// Runs a container; the exit code is its process's.
pub(crate) fn run(settings: &Settings, args: RunArgs) -> Result<u8, Error> {
    let detach = args.detach;
    if detach && !args.attach.is_empty() {
        return Err(Error::AttachDetach);
    }
    let attached = |stream| !detach && (args.attach.is_empty() || args.attach.contains(&stream));
    let attach = Attach {
        stdin: args.interactive && attached(Stream::Stdin),
        stdout: attached(Stream::Stdout),
        stderr: attached(Stream::Stderr),
        tty: args.tty,
        sig_proxy: args.sig_proxy,
    };
    if attach.stdin && attach.tty && !io::stdin().is_terminal() {
        return Err(Error::InputNotTerminal);
    }
    let choice = Choice {
        platform: settings.platform(args.platform.as_deref())?,
        pull: policy(&args.pull)?,
        quiet: args.quiet,
    };
    let cid_path = args.cidfile.clone();
    let request = read_and_request(args, attach)?;
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
        let mut container = start(&engine, &request, &choice, attach).await?;
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

fn policy(text: &str) -> Result<Pull, Error> {
    match text {
        "always" => Ok(Pull::Always),
        "missing" | "" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        other => Err(Error::PullPolicy(other.to_owned())),
    }
}

/// Reads the files that flags name and makes the request of everything.
fn read_and_request(args: RunArgs, attach: Attach) -> Result<Request, Error> {
    let variable = environment::raw;
    let env_files = args.env_file.iter().map(|path| {
        env::file(&read(path)?, &variable).map_err(|source| Error::EnvFile {
            path: path.clone(),
            source,
        })
    });
    let env_files = env_files.collect::<Result<_, _>>()?;
    let label_files = args.label_file.iter().map(|path| {
        label::file(&read(path)?).map_err(|source| Error::LabelFile {
            path: path.clone(),
            source,
        })
    });
    let label_files = label_files.collect::<Result<_, _>>()?;
    let security = security::parse(&args.security_opt)?;
    let seccomp = match &security.seccomp {
        SeccompSource::File(path) => {
            let path = PathBuf::from(path);
            let profile =
                fs::read_to_string(&path).map_err(|source| Error::SeccompFile { path, source })?;
            Some(profile)
        }
        _ => None,
    };
    let cwd = match args.volume.is_empty() && args.mount.is_empty() {
        true => PathBuf::new(),
        false => environment::working_directory().map_err(|source| Error::System {
            action: "read the working directory",
            source,
        })?,
    };
    let console_size = attach.tty.then(|| term::size(io::stdout())).flatten();
    let outside = Outside {
        variable: &variable,
        env_files,
        label_files,
        seccomp,
        cwd: &cwd,
        console_size,
    };
    request(args, security, outside)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        action: "open",
        path: path.to_owned(),
        source,
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

/// Starts the container. An image that is missing is pulled here and not by the library, so that
/// its progress is shown; that it is missing is learnt from the start, so that an image that is
/// there is looked up once.
async fn start(
    engine: &Engine,
    request: &Request,
    choice: &Choice,
    attach: Attach,
) -> Result<Container, Error> {
    if choice.pull != Pull::Always {
        match builder(engine, request, choice, attach).start().await {
            Err(container_core::Error::NoSuchImage { .. }) if choice.pull == Pull::Missing => {}
            other => return Ok(other?),
        }
        let name = super::reference(&request.image)?.familiar();
        print::err(&format!("Unable to find image '{name}' locally"));
    }
    let output = if choice.quiet {
        Output::Quiet
    } else {
        Output::Stderr
    };
    super::pull::pull(engine, &request.image, choice.platform.clone(), output).await?;
    Ok(builder(engine, request, choice, attach).start().await?)
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
    if let Some(master) = container.take_terminal() {
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

fn exit_code(code: i32) -> u8 {
    // wait(2) gives eight bits.
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// The file of `--cidfile`: there before the container, empty until it has an id.
struct CidFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl CidFile {
    fn create(path: PathBuf) -> Result<Self, Error> {
        match File::create_new(&path) {
            Ok(file) => Ok(Self {
                path,
                file,
                written: false,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::CidFile(path)),
            Err(source) => Err(Error::File {
                action: "create",
                path,
                source,
            }),
        }
    }

    fn write(mut self, id: &str) -> Result<(), Error> {
        self.written = true;
        self.file
            .write_all(id.as_bytes())
            .map_err(|source| Error::File {
                action: "write",
                path: self.path.clone(),
                source,
            })
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            // Docker leaves no empty one behind either.
            let _ = fs::remove_file(&self.path);
        }
    }
}
