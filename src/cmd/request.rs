//! What `run` and `create` have in common: files that flags name, the image, `--cidfile`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use container_core::image::Platform;
use container_core::request::Request;
use container_core::{Engine, Pull};

use crate::cli::run::CreateArgs;
use crate::error::Error;
use crate::flags::request::{Outside, request};
use crate::flags::security::{self, SeccompSource};
use crate::flags::{env, label};
use crate::print::progress::Output;
use crate::settings::Settings;
use crate::{environment, print, term};

/// Which image the container gets, apart from its name.
pub(super) struct Choice {
    pub(super) platform: Option<Platform>,
    pull: Pull,
    quiet: bool,
}

impl Choice {
    /// # Errors
    /// A platform or policy that is none.
    pub(super) fn of(settings: &Settings, args: &CreateArgs) -> Result<Self, Error> {
        Ok(Self {
            platform: settings.platform(args.platform.as_deref())?,
            pull: policy(&args.pull)?,
            quiet: args.quiet,
        })
    }
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
pub(super) fn read_and_request(args: CreateArgs) -> Result<Request, Error> {
    let variable = environment::raw;
    let env_files = env_files(&args.env_file)?;
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
    let console_size = args.tty.then(|| term::size(io::stdout())).flatten();
    let outside = Outside {
        variable: &variable,
        env_files,
        label_files,
        seccomp,
        cwd: &cwd,
        caller: environment::caller_of_sudo(),
        console_size,
    };
    request(args, security, outside)
}

/// The contents of `--env-file`s.
///
/// # Errors
/// One cannot be read or is none.
pub(super) fn env_files(paths: &[PathBuf]) -> Result<Vec<Vec<String>>, Error> {
    let file = |path: &PathBuf| {
        env::file(&read(path)?, &environment::raw).map_err(|source| Error::EnvFile {
            path: path.clone(),
            source,
        })
    };
    paths.iter().map(file).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        action: "open",
        path: path.to_owned(),
        source,
    })
}

/// Makes a container of an image. One that is missing is pulled here and not by the library, so that
/// its progress is shown; that it is missing is learnt from the attempt, so that an image that is
/// there is looked up once.
///
/// # Errors
/// There is no such image, or the attempt fails.
pub(super) async fn with_image<T>(
    engine: &Engine,
    image: &str,
    choice: &Choice,
    attempt: impl AsyncFn() -> container_core::Result<T>,
) -> Result<T, Error> {
    if choice.pull != Pull::Always {
        match attempt().await {
            Err(container_core::Error::NoSuchImage { .. }) if choice.pull == Pull::Missing => {}
            other => return Ok(other?),
        }
        let name = super::reference(image)?.familiar();
        print::err(&format!("Unable to find image '{name}' locally"));
    }
    let output = if choice.quiet {
        Output::Quiet
    } else {
        Output::Stderr
    };
    super::pull::pull(engine, image, choice.platform.clone(), output).await?;
    Ok(attempt().await?)
}

/// The file of `--cidfile`: there before the container, empty until it has an id.
pub(super) struct CidFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl CidFile {
    /// # Errors
    /// It is there already, or cannot be made.
    pub(super) fn create(path: PathBuf) -> Result<Self, Error> {
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

    /// # Errors
    /// It cannot be written.
    pub(super) fn write(mut self, id: &str) -> Result<(), Error> {
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
