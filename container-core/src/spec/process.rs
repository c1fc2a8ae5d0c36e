//! The program: its arguments, environment, user and limits.

use std::collections::HashSet;

use oci_spec::runtime::{
    BoxBuilder, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, User,
};

use super::Input;
use crate::error::{Error, Result};
use crate::exec::ExecRequest;
use crate::plan;
use crate::request::{Request, Ulimit};

/// Where commands are looked for when neither image nor caller says.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn compile(input: &Input<'_>, capabilities: &HashSet<Capability>) -> Result<Process> {
    let request = input.request;
    let config = input.config;
    let mut user = User::default();
    let name = given(&request.user).or_else(|| config.and_then(|c| c.user().clone()));
    // Looked up where the program will run, in the container's own /etc/passwd.
    user.set_username(Some(name.unwrap_or_default()));

    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(capabilities.clone()))
        .set_effective(Some(capabilities.clone()))
        .set_permitted(Some(capabilities.clone()))
        .set_inheritable(None)
        .set_ambient(None);

    let mut process = Process::default();
    process
        .set_terminal(Some(request.tty))
        .set_console_size(console_size(request))
        .set_user(user)
        .set_args(Some(args(input)?))
        .set_env(Some(env(input)?))
        .set_cwd(workdir(input)?.into())
        .set_capabilities(Some(sets))
        .set_rlimits(Some(rlimits(input)?))
        .set_no_new_privileges(Some(request.no_new_privileges))
        .set_oom_score_adj(oom_score_adj(input)?);
    Ok(process)
}

/// An empty word is none, as in Docker's flags.
fn given(word: &Option<String>) -> Option<String> {
    word.clone().filter(|w| !w.is_empty())
}

/// The size that a terminal has at the start.
fn console_size(request: &Request) -> Option<oci_spec::runtime::Box> {
    let (rows, columns) = request.console_size.filter(|_| request.tty)?;
    let size = BoxBuilder::default().height(rows).width(columns);
    // It cannot fail: both are given.
    size.build().ok()
}

/// Docker's table of ENTRYPOINT and CMD (Dockerfile reference, "Understand how CMD and
/// ENTRYPOINT interact").
fn args(input: &Input<'_>) -> Result<Vec<String>> {
    let (request, config) = (input.request, input.config);
    let from_image =
        |list: Option<&Option<Vec<String>>>| list.cloned().flatten().unwrap_or_default();
    let mut args = match &request.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => from_image(config.map(|c| c.entrypoint())),
    };
    if !request.args.is_empty() {
        args.extend(request.args.iter().cloned());
    } else if request.entrypoint.is_none() {
        args.extend(from_image(config.map(|c| c.cmd())));
    }
    if args.is_empty() && config.is_none() {
        args.push("/bin/sh".to_owned());
    }
    if args.is_empty() {
        return Err(Error::Setting {
            setting: "args",
            value: request.image.clone(),
            reason: "No command specified".into(),
        });
    }
    no_nul("args", &args)?;
    Ok(args)
}

fn no_nul(setting: &'static str, strings: &[String]) -> Result<()> {
    match strings.iter().find(|s| s.contains('\0')) {
        None => Ok(()),
        Some(bad) => Err(Error::Setting {
            setting,
            value: bad.clone(),
            reason: "contains a NUL byte".into(),
        }),
    }
}

/// Later settings replace earlier ones in place, as Docker's `ReplaceOrAppendEnvValues` does.
fn merge(env: &mut Vec<String>, more: &[String]) {
    for entry in more {
        let name = entry.split('=').next().unwrap_or(entry);
        let same = |e: &String| e.split('=').next() == Some(name);
        match (env.iter().position(same), entry.contains('=')) {
            (Some(at), true) => env[at].clone_from(entry),
            (Some(at), false) => _ = env.remove(at),
            (None, true) => env.push(entry.clone()),
            (None, false) => {}
        }
    }
}

fn env(input: &Input<'_>) -> Result<Vec<String>> {
    let request = input.request;
    let mut env = vec![
        format!("PATH={DEFAULT_PATH}"),
        format!(
            "HOSTNAME={}",
            super::hostname(request, input.id, input.host)
        ),
    ];
    if request.tty {
        env.push("TERM=xterm".to_owned());
    }
    if let Some(image) = input.config.and_then(|c| c.env().as_ref()) {
        merge(&mut env, image);
    }
    if let Some(bad) = request
        .env
        .iter()
        .find(|e| e.starts_with('=') || e.is_empty())
    {
        return Err(Error::Setting {
            setting: "env",
            value: bad.clone(),
            reason: "a variable needs a name: NAME=value".into(),
        });
    }
    merge(&mut env, &request.env);
    no_nul("env", &env)?;
    Ok(env)
}

fn workdir(input: &Input<'_>) -> Result<String> {
    let image = || {
        input
            .config
            .and_then(|c| c.working_dir().clone())
            .filter(|d| !d.is_empty())
    };
    let dir = given(&input.request.workdir)
        .or_else(image)
        .unwrap_or_else(|| "/".to_owned());
    if !dir.starts_with('/') || dir.contains('\0') {
        return Err(Error::Setting {
            setting: "workdir",
            reason: format!(
                "The working directory '{dir}' is invalid, it needs to be an absolute path"
            ),
            value: dir,
        });
    }
    Ok(dir)
}

fn rlimits(input: &Input<'_>) -> Result<Vec<PosixRlimit>> {
    use PosixRlimitType as T;
    let one = |limit: &Ulimit| {
        let wrong = |reason: String| Error::Setting {
            setting: "ulimit",
            value: format!("{}={}:{}", limit.name, limit.soft, limit.hard),
            reason,
        };
        let typ = match limit.name.as_str() {
            "core" => T::RlimitCore,
            "cpu" => T::RlimitCpu,
            "data" => T::RlimitData,
            "fsize" => T::RlimitFsize,
            "locks" => T::RlimitLocks,
            "memlock" => T::RlimitMemlock,
            "msgqueue" => T::RlimitMsgqueue,
            "nice" => T::RlimitNice,
            "nofile" => T::RlimitNofile,
            "nproc" => T::RlimitNproc,
            "rss" => T::RlimitRss,
            "rtprio" => T::RlimitRtprio,
            "rttime" => T::RlimitRttime,
            "sigpending" => T::RlimitSigpending,
            "stack" => T::RlimitStack,
            _ => return Err(wrong("unknown limit (see getrlimit(2))".into())),
        };
        let value = |n: i64| match n {
            -1 => Ok(u64::MAX),
            n => u64::try_from(n).map_err(|_| wrong("must be -1 (no limit) or more".into())),
        };
        let (soft, hard) = (value(limit.soft)?, value(limit.hard)?);
        if soft > hard {
            return Err(wrong("the soft limit is above the hard limit".into()));
        }
        PosixRlimitBuilder::default()
            .typ(typ)
            .soft(soft)
            .hard(hard)
            .build()
            .map_err(|e| wrong(e.to_string()))
    };
    // Of two for the same limit the later one counts: set in order, a hard limit could only fall.
    let all = &input.request.ulimits;
    let again = |at: usize, name: &str| all[at + 1..].iter().any(|l| l.name == name);
    all.iter()
        .enumerate()
        .filter(|(at, limit)| !again(*at, &limit.name))
        .map(|(_, limit)| one(limit))
        .collect()
}

fn oom_score_adj(input: &Input<'_>) -> Result<Option<i32>> {
    match input.request.oom_score_adj {
        Some(n) if !(-1000..=1000).contains(&n) => Err(Error::Setting {
            setting: "oom_score_adj",
            value: n.to_string(),
            reason: format!("Invalid value {n}, range for oom score adj is [-1000, 1000]"),
        }),
        // What protects the engine from the OOM killer is not for its containers.
        None if input.host.oom_score_adj < 0 => Ok(Some(0)),
        n => Ok(n),
    }
}

/// A further process for a running container: its first process's confinement, other words. A
/// privileged one gets the `capabilities` that can be given; the system call filter stays, as in
/// Docker.
pub(crate) fn exec(
    base: &plan::Process,
    request: &ExecRequest,
    capabilities: u64,
) -> plan::Process {
    let mut process = base.clone();
    if request.privileged {
        process.capabilities = plan::Capabilities {
            bounding: capabilities,
            effective: capabilities,
            permitted: capabilities,
            ..process.capabilities
        };
    }
    process.args.clone_from(&request.args);
    process.init = false;
    if request.tty && !process.env.iter().any(|e| e.starts_with("TERM=")) {
        process.env.push("TERM=xterm".to_owned());
    }
    merge(&mut process.env, &request.env);
    if let Some(dir) = &request.workdir {
        process.cwd.clone_from(dir);
    }
    if let Some(user) = &request.user {
        // The container's further groups are for every process of it, as in Docker.
        let groups = match &process.user {
            plan::User::Lookup { groups, .. } => groups.clone(),
            plan::User::Numeric { groups, .. } => groups.iter().map(u32::to_string).collect(),
        };
        process.user = plan::User::Lookup {
            user: user.clone(),
            groups,
        };
    }
    process
}

/// A signal by name (`SIGTERM`, `term`, `RTMIN+1`) or number, as `docker kill -s` takes it.
pub fn signal_number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    // SIGRTMIN is 34 to programs: the C library keeps two for itself (signal(7)).
    for (base, sign, direction) in [("RTMIN", '+', 1), ("RTMAX", '-', -1)] {
        if let Some(rest) = bare.strip_prefix(base) {
            let offset = match rest.strip_prefix(sign) {
                Some(number) => number
                    .parse::<i32>()
                    .ok()
                    .filter(|n| (0..=30).contains(n))?,
                None if rest.is_empty() => 0,
                None => return None,
            };
            return Some(if direction > 0 {
                34 + offset
            } else {
                64 - offset
            });
        }
    }
    format!("SIG{bare}")
        .parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|s| s as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_env_replaces_in_place_and_bare_names_remove() {
        let mut env = vec!["A=1".to_owned(), "B=2".to_owned()];
        merge(
            &mut env,
            &[
                "A=3".to_owned(),
                "B".to_owned(),
                "C=4".to_owned(),
                "D".to_owned(),
            ],
        );
        assert_eq!(env, ["A=3", "C=4"]);
    }

    #[test]
    fn signals() {
        for (name, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigint", 2),
            ("1", 1),
            ("RTMIN+3", 37),
            ("RTMAX", 64),
        ] {
            assert_eq!(signal_number(name), Some(number), "{name}");
        }
        for name in ["", "0", "65", "SIGFOO", "RTMIN+99", "RTMIN-1"] {
            assert_eq!(signal_number(name), None, "{name}");
        }
    }
}
