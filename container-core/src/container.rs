//! The builder and the handle: [`ContainerBuilder`] is to containers what
//! `std::process::Command` is to processes, [`Container`] what `Child` is.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use container_image::Platform;

use crate::Result;
use crate::engine::{Engine, Pull};
use crate::exec::ExecBuilder;
use crate::monitor::client::{self, Link};
use crate::request::{
    Device, Limits, Mount, MountSource, NamespaceMode, Network, Request, Seccomp, Ulimit,
    UserNamespace,
};
use crate::state::Inspect;
use crate::stdio::{Stdio, Streams};

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExitStatus {
    /// What the process returned, or 128 + the signal that ended it, as Docker reports it.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The kernel's OOM killer ended a process of this container.
    pub oom_killed: bool,
}

impl ExitStatus {
    /// True when the code is 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.signal, self.oom_killed) {
            (_, true) => write!(f, "exit code {} (out of memory)", self.code),
            (Some(signal), _) => write!(f, "exit code {} (signal {signal})", self.code),
            _ => write!(f, "exit code {}", self.code),
        }
    }
}

/// What [`ContainerBuilder::output`] and [`ExecBuilder::output`] return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How the process ended.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Describes a container before it runs. Made by [`Engine::container`].
///
/// Setters cannot fail; the terminal calls ([`output`](Self::output), [`status`](Self::status),
/// [`start`](Self::start)) check everything and name the setting at fault.
#[derive(Debug)]
#[must_use = "a container runs when output, status or start is called"]
pub struct ContainerBuilder {
    engine: Engine,
    request: Request,
    platform: Option<Platform>,
    pull: Pull,
    streams: Streams,
}

impl ContainerBuilder {
    pub(crate) fn new(engine: Engine, image: String) -> Self {
        let request = Request {
            image,
            auto_remove: true,
            ..Request::default()
        };
        Self {
            engine,
            request,
            platform: None,
            pull: Pull::default(),
            streams: Streams::default(),
        }
    }

    /// Replaces everything said so far with a [`Request`] made elsewhere (the CLI, a file).
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// Adds one argument. Any argument replaces the image's `CMD`.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.request.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.request.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Replaces the image's `ENTRYPOINT`; its `CMD` is then unused.
    pub fn entrypoint<S: Into<String>>(mut self, entrypoint: impl IntoIterator<Item = S>) -> Self {
        self.request.entrypoint = Some(entrypoint.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl fmt::Display, value: impl fmt::Display) -> Self {
        self.request.env.push(format!("{name}={value}"));
        self
    }

    /// Sets environment variables.
    pub fn envs<K: fmt::Display, V: fmt::Display>(
        mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.request
            .env
            .extend(vars.into_iter().map(|(k, v)| format!("{k}={v}")));
        self
    }

    /// Sets the working directory; it is made when missing.
    pub fn workdir(mut self, dir: impl Into<String>) -> Self {
        self.request.workdir = Some(dir.into());
        self
    }

    /// Runs as `user`, `uid`, `user:group` or `uid:gid`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.request.user = Some(user.into());
        self
    }

    /// Names the container. Names are unique in a store.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.request.name = Some(name.into());
        self
    }

    /// Sets the host name.
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.request.hostname = Some(name.into());
        self
    }

    /// Adds a mount.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.request.mounts.push(mount);
        self
    }

    /// Mounts a file or directory of the host, writable. It must exist.
    pub fn bind(self, source: impl AsRef<Path>, target: impl Into<String>) -> Self {
        self.bind_with(source.as_ref(), target.into(), false)
    }

    /// Mounts a file or directory of the host read-only. It must exist.
    pub fn bind_read_only(self, source: impl AsRef<Path>, target: impl Into<String>) -> Self {
        self.bind_with(source.as_ref(), target.into(), true)
    }

    fn bind_with(self, source: &Path, target: String, read_only: bool) -> Self {
        self.mount(Mount {
            source: MountSource::Bind {
                path: source.to_owned(),
                create: false,
                non_recursive: false,
            },
            target,
            read_only,
            propagation: String::new(),
        })
    }

    /// Mounts an empty tmpfs.
    pub fn tmpfs(self, target: impl Into<String>) -> Self {
        self.mount(Mount {
            source: MountSource::Tmpfs {
                options: Vec::new(),
            },
            target: target.into(),
            read_only: false,
            propagation: String::new(),
        })
    }

    /// Mounts the root file system read-only.
    pub fn read_only(mut self, yes: bool) -> Self {
        self.request.read_only = yes;
        self
    }

    /// Chooses the network.
    pub fn network(mut self, network: Network) -> Self {
        self.request.network = network;
        self
    }

    /// Limits memory, in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.request.limits.memory = Some(bytes);
        self
    }

    /// Limits processor time, in processors.
    pub fn cpus(mut self, cpus: f64) -> Self {
        self.request.limits.cpus = Some(cpus);
        self
    }

    /// Limits the number of processes and threads.
    pub fn pids(mut self, pids: i64) -> Self {
        self.request.limits.pids = Some(pids);
        self
    }

    /// Replaces all resource limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.request.limits = limits;
        self
    }

    /// Adds a capability to Docker's default set.
    pub fn cap_add(mut self, capability: impl Into<String>) -> Self {
        self.request.cap_add.push(capability.into());
        self
    }

    /// Takes a capability from Docker's default set; `ALL` empties it.
    pub fn cap_drop(mut self, capability: impl Into<String>) -> Self {
        self.request.cap_drop.push(capability.into());
        self
    }

    /// Gives up confinement.
    pub fn privileged(mut self, yes: bool) -> Self {
        self.request.privileged = yes;
        self
    }

    /// Chooses the seccomp filter.
    pub fn seccomp(mut self, seccomp: Seccomp) -> Self {
        self.request.seccomp = seccomp;
        self
    }

    /// Sets `no_new_privs`.
    pub fn no_new_privileges(mut self, yes: bool) -> Self {
        self.request.no_new_privileges = yes;
        self
    }

    /// Adds a resource limit of `setrlimit(2)`; -1 is no limit.
    pub fn ulimit(mut self, name: impl Into<String>, soft: i64, hard: i64) -> Self {
        self.request.ulimits.push(Ulimit {
            name: name.into(),
            soft,
            hard,
        });
        self
    }

    /// Passes a device of the host in, readable, writable, and for mknod.
    pub fn device(mut self, path: impl AsRef<Path>) -> Self {
        let path: PathBuf = path.as_ref().to_owned();
        self.request.devices.push(Device {
            container: path.to_string_lossy().into_owned(),
            host: path,
            permissions: "rwm".into(),
        });
        self
    }

    /// Sets a label.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.labels.insert(name.into(), value.into());
        self
    }

    /// Runs a small init as PID 1.
    pub fn init(mut self, yes: bool) -> Self {
        self.request.init = yes;
        self
    }

    /// Gives the process a terminal; its other end is [`Container::take_terminal`].
    pub fn tty(mut self, yes: bool) -> Self {
        self.request.tty = yes;
        self
    }

    /// Shares the engine's IPC, PID or UTS namespace; see [`Request`] for each.
    pub fn share(mut self, ipc: NamespaceMode, pid: NamespaceMode, uts: NamespaceMode) -> Self {
        (self.request.ipc, self.request.pid, self.request.uts) = (ipc, pid, uts);
        self
    }

    /// Chooses the container's user namespace. One of its own is refused at the start, until
    /// layers can be id-mapped; a rootless engine's containers are always in one.
    pub fn userns(mut self, userns: UserNamespace) -> Self {
        self.request.userns = userns;
        self
    }

    /// Wants the image for this platform instead of the machine's.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Says when to pull the image; [`Pull::Missing`] unless told.
    pub fn pull(mut self, pull: Pull) -> Self {
        self.pull = pull;
        self
    }

    /// Standard input; [`Stdio::Null`] for `start` and `output`, inherited for `status`.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdin = Some(stdio.into());
        self
    }

    /// Standard output; logged for `start`, collected for `output`, inherited for `status`.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stdout = Some(stdio.into());
        self
    }

    /// Standard error; as [`stdout`](Self::stdout).
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.streams.stderr = Some(stdio.into());
        self
    }

    /// Starts the container and returns a handle on it.
    ///
    /// # Errors
    /// The image is not to be had, a setting is wrong (the error names it), the host cannot do
    /// what was asked, or the command cannot be executed
    /// ([`Error::command`](crate::Error::command) tells).
    pub async fn start(self) -> Result<Container> {
        let streams = self.streams.or(Stdio::Null, Stdio::Log);
        let image = self
            .engine
            .image_for_run(&self.request.image, self.platform, self.pull)
            .await?;
        crate::run::start(&self.engine, &image, self.request, streams).await
    }

    /// Runs the container with the caller's standard streams and waits for its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn status(mut self) -> Result<ExitStatus> {
        self.streams = self.streams.or(Stdio::Inherit, Stdio::Inherit);
        self.start().await?.wait().await
    }

    /// Runs the container, waits for its end and returns what it wrote.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn output(mut self) -> Result<Output> {
        self.streams = self.streams.or(Stdio::Null, Stdio::Piped);
        let mut container = self.start().await?;
        let (stdout, stderr) = (container.take_stdout(), container.take_stderr());
        crate::stdio::output(stdout, stderr, || container.wait()).await
    }
}

/// A running container. Dropping it ends and removes the container, and so does the death of this
/// process by whatever cause; [`detach`](Self::detach) makes it outlive both.
#[derive(Debug)]
pub struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) warnings: Vec<String>,
    pub(crate) engine: Engine,
    pub(crate) link: Link,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
}

impl Container {
    /// The id: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the container's first process, as the engine's process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What could not be granted in full, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The writing end of a piped standard input.
    pub fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.stdin.take()
    }

    /// The reading end of a piped standard output.
    pub fn take_stdout(&mut self) -> Option<OwnedFd> {
        self.stdout.take()
    }

    /// The reading end of a piped standard error.
    pub fn take_stderr(&mut self) -> Option<OwnedFd> {
        self.stderr.take()
    }

    /// The master side of the container's terminal, when it was given one.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Waits for the end of the container and for its removal, if it is to be removed.
    ///
    /// # Errors
    /// The monitor died before it could tell.
    pub async fn wait(&self) -> Result<ExitStatus> {
        self.link.wait().await
    }

    /// Sends a signal to the first process.
    ///
    /// # Errors
    /// The container has ended, or the number is no signal.
    pub async fn kill(&self, signal: i32) -> Result<()> {
        client::kill(&self.engine, &self.id, signal).await
    }

    /// Asks the process to stop (the stop signal of the request or image) and kills it after
    /// `timeout` (the request's when `None`). Returns when it has ended.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn stop(&self, timeout: Option<Duration>) -> Result<ExitStatus> {
        client::stop(&self.engine, &self.id, timeout).await?;
        self.wait().await
    }

    /// Describes a further process in this container.
    pub fn exec<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> ExecBuilder<'_> {
        ExecBuilder::new(self, args.into_iter().map(Into::into).collect())
    }

    /// What the container has written so far to streams that are logged.
    ///
    /// # Errors
    /// The log cannot be read, or the container is removed.
    pub fn logs(&self) -> Result<crate::log::Logs> {
        crate::log::read(&self.engine.container_dir(&self.id))
    }

    /// What is known about the container.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn inspect(&self) -> Result<Inspect> {
        crate::state::inspect(&self.engine, &self.id)
    }

    /// Lets the container outlive this handle and this process. Returns its id.
    ///
    /// # Errors
    /// The monitor is gone.
    pub async fn detach(self) -> Result<String> {
        self.link.detach().await?;
        Ok(self.id)
    }
}
