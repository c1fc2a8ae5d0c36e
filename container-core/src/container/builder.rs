//! What a container is asked to be: [`ContainerBuilder`].

use std::fmt;
use std::path::{Path, PathBuf};

use container_image::Platform;

use crate::attach::Attach;
use crate::capture::Capture;
use crate::engine::{Engine, Pull};
use crate::ready::Ready;
use crate::request::{
    Device, Healthcheck, IpcMode, Limits, Mount, NamespaceMode, Network, Request, RestartPolicy,
    Seccomp, Ulimit, UserNamespace, VolumesFrom,
};
use crate::stdio::Wanted;

/// Describes a container before it runs. Made by [`Engine::container`].
///
/// Setters cannot fail; the terminal calls ([`output`](Self::output), [`status`](Self::status),
/// [`start`](Self::start)) check everything and name the setting at fault.
#[derive(Debug)]
#[must_use = "a container runs when output, status or start is called"]
pub struct ContainerBuilder {
    pub(super) engine: Engine,
    pub(super) request: Request,
    pub(super) platform: Option<Platform>,
    pub(super) pull: Pull,
    pub(super) streams: Wanted,
    pub(super) capture: Capture,
    pub(super) attach: Option<Attach>,
    pub(super) ready: Option<Ready>,
    pub(super) reuse: bool,
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
            streams: Wanted::default(),
            capture: Capture::default(),
            attach: None,
            ready: None,
            reuse: false,
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
        self.mount(Mount::bind(source.as_ref(), target))
    }

    /// Mounts a file or directory of the host read-only. It must exist.
    pub fn bind_read_only(self, source: impl AsRef<Path>, target: impl Into<String>) -> Self {
        self.mount(Mount::bind(source.as_ref(), target).read_only())
    }

    /// Mounts a volume by its name, writable. It is made when missing and outlives the container.
    pub fn volume(self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.mount(Mount::volume(name, target))
    }

    /// Mounts an empty tmpfs.
    pub fn tmpfs(self, target: impl Into<String>) -> Self {
        self.mount(Mount::tmpfs(target, None::<String>))
    }

    /// Mounts the volumes and bind mounts of another container, too, by its id or name.
    pub fn volumes_from(mut self, container: impl Into<String>) -> Self {
        self.request.volumes_from.push(VolumesFrom {
            container: container.into(),
            read_only: false,
        });
        self
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

    /// Chooses the log driver: `json-file` unless told, `local`, `syslog`, `journald` or `none`.
    pub fn log_driver(mut self, driver: impl Into<String>) -> Self {
        self.request.log.driver = driver.into();
        self
    }

    /// Sets an option of the log driver, as Docker calls it (`max-size`, `tag`, …).
    pub fn log_option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.log.options.insert(name.into(), value.into());
        self
    }

    /// Writes down what the container has used when it ends: [`ExitStatus::stats`](super::ExitStatus::stats).
    pub fn measure(mut self, yes: bool) -> Self {
        self.request.measure = yes;
        self
    }

    /// Runs a small init as PID 1.
    pub fn init(mut self, yes: bool) -> Self {
        self.request.init = yes;
        self
    }

    /// Says what follows the container's end. One that is restarted is not removed at its end.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.request.restart = policy;
        self
    }

    /// Sets the health check; what it leaves empty is the image's.
    pub fn healthcheck(mut self, check: Healthcheck) -> Self {
        self.request.healthcheck = Some(check);
        self
    }

    /// Whether the container goes when its process has ended, as it does unless told otherwise.
    /// One that stays is removed by [`Container::remove`](super::Container::remove), or with its handle.
    pub fn auto_remove(mut self, yes: bool) -> Self {
        self.request.auto_remove = yes;
        self
    }

    /// Keeps standard input open for those who [attach](super::Container::attach); with `once` it ends
    /// when the input of the first of them does.
    pub fn open_stdin(mut self, once: bool) -> Self {
        (self.request.open_stdin, self.request.stdin_once) = (true, once);
        self
    }

    /// Connects these streams with the container's from the first byte on: see
    /// [`Container::take_attached`](super::Container::take_attached).
    pub fn attach(mut self, attach: Attach) -> Self {
        self.attach = Some(attach);
        self
    }

    /// Gives the process a terminal. What is shown there is logged, and
    /// [attached](super::Container::attach) to; unless standard output is something else than
    /// [`Stdio::Log`](crate::Stdio::Log): then its other end is [`Streams::terminal`](crate::Streams::terminal), and nothing else of
    /// the streams matters.
    pub fn tty(mut self, yes: bool) -> Self {
        self.request.tty = yes;
        self
    }

    /// Shares the engine's or another container's IPC and PID namespace, or the engine's UTS
    /// namespace; see [`Request`] for each.
    pub fn share(mut self, ipc: IpcMode, pid: NamespaceMode, uts: NamespaceMode) -> Self {
        (self.request.ipc, self.request.pid, self.request.uts) = (ipc, pid, uts);
        self
    }

    /// Chooses the container's user namespace. One of its own takes the machine's root and
    /// Linux 5.19; a rootless engine's containers are in one anyway, and get no other.
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
}
