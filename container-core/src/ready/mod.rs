//! When a container is ready to be used: conditions to wait for.
//!
//! ```no_run
//! use std::time::Duration;
//! use container_core::ready::{Http, Log, Ready};
//!
//! # async fn example(engine: &container_core::Engine) -> container_core::Result<()> {
//! let postgres = engine
//!     .container("postgres:16")
//!     .env("POSTGRES_PASSWORD", "secret")
//!     // It starts twice: once to be set up.
//!     .ready(Log::new("ready to accept connections").times(2))
//!     .start()
//!     .await?;
//! postgres
//!     .wait_for(Ready::command(["pg_isready"]).within(Duration::from_secs(5)))
//!     .await?;
//! let web = engine.container("web").start().await?;
//! web.wait_for(Ready::all([
//!     Http::get(8080, "/health").body("ok").into(),
//!     Ready::any([Ready::socket("/run/web.sock"), Ready::tcp(9000)]),
//! ]))
//! .await?;
//! # Ok(()) }
//! ```
//!
//! When the container ends before, waiting fails at once, and at the deadline it fails too; the
//! error says what is missing and what the container wrote last ([`NotReady`]).
//!
//! The kernel, the log and the monitor tell of a line, a socket's file, a health status and the
//! end. Nobody tells when a program begins to listen: the list of listening sockets is looked at
//! after a millisecond, then less and less often; no connection is made for that.

mod http;
mod log;
mod pause;
mod wait;

use std::fmt;
use std::time::Duration;

use crate::container::ExitStatus;
use crate::error::{Error, Result};
use crate::log::LogStream;

pub(crate) use wait::wait;

/// How long is waited where nothing else was said.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// A condition to wait for: [`Container::wait_for`](crate::Container::wait_for),
/// [`ContainerBuilder::ready`](crate::ContainerBuilder::ready).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Ready {
    what: What,
    within: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    All(Vec<Ready>),
    Any(Vec<Ready>),
    One(Condition),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Log(Log),
    Http(Http),
    Tcp(u16),
    Healthy,
    Exit(Option<i32>),
    Command(Vec<String>),
    Socket(String),
}

impl Ready {
    fn one(condition: Condition) -> Self {
        Self {
            what: What::One(condition),
            within: None,
        }
    }

    /// Somebody listens on a TCP port in the container's network.
    pub fn tcp(port: u16) -> Self {
        Self::one(Condition::Tcp(port))
    }

    /// Its health check has succeeded. Fails at once when there is none, and when the container
    /// is found unhealthy.
    pub fn healthy() -> Self {
        Self::one(Condition::Healthy)
    }

    /// It has ended, whatever the exit code.
    pub fn exit() -> Self {
        Self::one(Condition::Exit(None))
    }

    /// It has ended with this exit code.
    pub fn exit_code(code: i32) -> Self {
        Self::one(Condition::Exit(Some(code)))
    }

    /// A command, run in the container again and again, has succeeded. Fails at once when it
    /// cannot be executed.
    pub fn command<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self::one(Condition::Command(args))
    }

    /// Somebody listens on the Unix socket at this path in the container. One that was bound by
    /// another path for the same file is connected to, to find out.
    pub fn socket(path: impl Into<String>) -> Self {
        Self::one(Condition::Socket(path.into()))
    }

    /// All of these.
    pub fn all(all: impl IntoIterator<Item = Ready>) -> Self {
        Self {
            what: What::All(all.into_iter().collect()),
            within: None,
        }
    }

    /// One of these.
    pub fn any(any: impl IntoIterator<Item = Ready>) -> Self {
        Self {
            what: What::Any(any.into_iter().collect()),
            within: None,
        }
    }

    /// Not later than this after the waiting begins. The whole has a minute where nothing is
    /// said; a part has as long as the whole.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Whether all lines that it wants may come by the streams that are logged.
    pub(crate) fn can_read(&self, is_logged: &dyn Fn(LogStream) -> bool) -> bool {
        match &self.what {
            What::All(parts) | What::Any(parts) => {
                parts.iter().all(|part| part.can_read(is_logged))
            }
            What::One(Condition::Log(log)) => match log.stream {
                Some(stream) => is_logged(stream),
                None => is_logged(LogStream::Stdout) || is_logged(LogStream::Stderr),
            },
            What::One(_) => true,
        }
    }

    /// Refuses what makes no sense.
    fn check(&self) -> Result<()> {
        let wrong = |value: &dyn fmt::Display, reason: &str| {
            Err(Error::Setting {
                setting: "ready",
                value: value.to_string(),
                reason: reason.to_owned(),
            })
        };
        match &self.what {
            What::Any(parts) if parts.is_empty() => wrong(&"any", "one of nothing never is"),
            What::All(parts) | What::Any(parts) => parts.iter().try_for_each(Self::check),
            What::One(Condition::Http(http)) if !http::is_path(&http.path) => wrong(
                &http.path,
                "the path of a request begins with a slash and has no spaces",
            ),
            What::One(Condition::Socket(path)) if !path.starts_with('/') => {
                wrong(path, "the path in the container has to be absolute")
            }
            What::One(Condition::Command(args)) if args.is_empty() => {
                wrong(&"command", "there has to be one")
            }
            What::One(Condition::Log(log)) if log.text.is_empty() || log.times == 0 => wrong(
                &self,
                "there has to be a text, and a number of times from 1 on",
            ),
            What::One(_) => Ok(()),
        }
    }
}

/// A line in the container's log. See [`Ready`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Log {
    text: String,
    times: u32,
    stream: Option<LogStream>,
}

impl Log {
    /// A line with this text in it, of either stream.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            times: 1,
            stream: None,
        }
    }

    /// So many lines with it. Those that are there already count.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// In what goes to this stream only.
    pub fn on(mut self, stream: LogStream) -> Self {
        self.stream = Some(stream);
        self
    }
}

impl From<Log> for Ready {
    fn from(log: Log) -> Self {
        Self::one(Condition::Log(log))
    }
}

/// An answer of an HTTP server inside the container. See [`Ready`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Http {
    port: u16,
    path: String,
    status: Option<u16>,
    body: Option<String>,
}

impl Http {
    /// GET of a path; any status from 200 to 299.
    pub fn get(port: u16, path: impl Into<String>) -> Self {
        Self {
            port,
            path: path.into(),
            status: None,
            body: None,
        }
    }

    /// This status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// A body, of which the first megabyte is read, with this text in it.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.body = Some(text.into());
        self
    }
}

impl From<Http> for Ready {
    fn from(http: Http) -> Self {
        Self::one(Condition::Http(http))
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Ready], word| {
            for (i, part) in parts.iter().enumerate() {
                let word = if i == 0 { "" } else { word };
                write!(f, "{word}{part}")?;
            }
            Ok(())
        };
        match &self.what {
            What::All(parts) => list(f, parts, " and "),
            What::Any(parts) => list(f, parts, " or "),
            What::One(condition) => condition.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(Log {
                text,
                times,
                stream,
            }) => {
                let stream = stream.map_or("its log", LogStream::name);
                write!(f, "{text:?} in {stream}")?;
                match times {
                    1 => Ok(()),
                    times => write!(f, ", {times} times"),
                }
            }
            Self::Http(http) => {
                write!(f, "HTTP GET of :{}{}", http.port, http.path)?;
                if let Some(status) = http.status {
                    write!(f, " with status {status}")?;
                }
                match &http.body {
                    Some(body) => write!(f, " with {body:?} in it"),
                    None => Ok(()),
                }
            }
            Self::Tcp(port) => write!(f, "TCP port {port}"),
            Self::Healthy => write!(f, "its health check"),
            Self::Exit(None) => write!(f, "its end"),
            Self::Exit(Some(code)) => write!(f, "its end with exit code {code}"),
            Self::Command(args) => write!(f, "the command {:?}", args.join(" ")),
            Self::Socket(path) => write!(f, "the socket {path}"),
        }
    }
}

/// Why a container did not become what was waited for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NotReady {
    /// The container's name.
    pub name: String,
    /// How it ended, if it did.
    pub exit: Option<ExitStatus>,
    /// How long was waited.
    pub waited: Duration,
    /// What is missing, each with how far it has come.
    pub missing: Vec<String>,
    /// The last it wrote to what is logged: some lines, of both streams.
    pub log: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = Duration::from_millis(u64::try_from(self.waited.as_millis()).unwrap_or(0));
        write!(f, "container {} ", self.name)?;
        match &self.exit {
            Some(exit) => write!(f, "ended with {exit} before it was ready")?,
            None => write!(f, "is not ready after {waited:?}")?,
        }
        write!(f, ": it lacks {}", self.missing.join(", "))?;
        match self.log.trim_end() {
            "" => write!(f, "; it has written nothing to its log"),
            log => write!(f, "; the last it wrote is\n{log}"),
        }
    }
}

impl std::error::Error for NotReady {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_conditions_read() {
        let stderr = Log::new("up").times(2).on(LogStream::Stderr);
        let all = Ready::all([
            stderr.into(),
            Http::get(80, "/x").status(204).body("ok").into(),
            Ready::any([Ready::tcp(1), Ready::exit_code(3)]),
        ]);
        assert_eq!(
            all.to_string(),
            "\"up\" in stderr, 2 times and HTTP GET of :80/x with status 204 with \"ok\" in it \
             and TCP port 1 or its end with exit code 3"
        );
        assert!(all.can_read(&|stream| stream == LogStream::Stderr));
        assert!(!all.can_read(&|stream| stream == LogStream::Stdout));
    }

    #[test]
    fn what_makes_no_sense() {
        for wrong in [
            Ready::any([]),
            Ready::all([Ready::any([])]),
            Ready::socket("run/x"),
            Ready::command::<&str>([]),
            Log::new("").into(),
            Log::new("x").times(0).into(),
            Http::get(1, "x").into(),
            Http::get(1, "/a b").into(),
            Http::get(1, "/\r\nEvil: 1").into(),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        let nothing = Ready::all([]);
        nothing.check().unwrap();
    }

    #[test]
    fn why_not() {
        let mut not = NotReady {
            name: "db".into(),
            exit: None,
            waited: Duration::from_micros(1_500_499),
            missing: vec!["TCP port 1 (nobody listens)".into()],
            log: "a\nb\n".into(),
        };
        assert_eq!(
            not.to_string(),
            "container db is not ready after 1.5s: it lacks TCP port 1 (nobody listens); the \
             last it wrote is\na\nb"
        );
        (not.exit, not.log) = (Some(ExitStatus::of(1)), String::new());
        assert_eq!(
            not.to_string(),
            "container db ended with exit code 1 before it was ready: it lacks TCP port 1 \
             (nobody listens); it has written nothing to its log"
        );
    }
}
