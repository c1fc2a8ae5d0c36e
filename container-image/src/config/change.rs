//! The Dockerfile instructions that `commit --change` and `import --change` take. Pure.

use std::time::Duration;

use super::{Healthcheck, RunConfig, duration, words};

/// An instruction that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply change {instruction:?}: {reason}")]
pub struct ChangeError {
    /// The instruction, cut to a length that is fit to print.
    pub instruction: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Applies instructions to a configuration: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL,
/// ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR. Each text may have several, one a line.
///
/// As in a Dockerfile, a new entry point takes the arguments away that came with the old one,
/// unless CMD was given before it.
///
/// # Errors
/// [`ChangeError`] for the first that is not understood; `config` is then changed in part.
pub fn apply<'a>(
    config: &mut RunConfig,
    changes: impl IntoIterator<Item = &'a str>,
) -> Result<(), ChangeError> {
    let mut cmd_given = false;
    for text in changes {
        let fault = |reason: String| ChangeError {
            instruction: text.chars().take(200).collect(),
            reason,
        };
        let lines = text.lines().map(str::trim);
        let mut lines = lines
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .peekable();
        if lines.peek().is_none() {
            return Err(fault("there is no instruction in it".to_owned()));
        }
        for line in lines {
            instruction(config, line, &mut cmd_given).map_err(fault)?;
        }
    }
    Ok(())
}

fn instruction(config: &mut RunConfig, text: &str, cmd_given: &mut bool) -> Result<(), String> {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (name, rest) = (name.to_ascii_uppercase(), rest.trim());
    let one = || match rest {
        "" => Err(format!("{name} requires exactly one argument")),
        rest => words::expand(rest, &config.env),
    };
    match &*name {
        "CMD" => {
            config.cmd = Some(command(config, &name, rest)?);
            config.args_escaped = None;
            *cmd_given = true;
        }
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(config, &name, rest)?);
            if !*cmd_given {
                config.cmd = None;
            }
        }
        "USER" => config.user = one()?,
        "STOPSIGNAL" => config.stop_signal = one()?,
        "WORKDIR" => {
            config.working_dir = clean(&match one()? {
                path if path.starts_with('/') => path,
                path => format!("{}/{path}", config.working_dir),
            })
        }
        "ENV" => {
            let before = config.env.clone();
            for (key, value) in pairs(&name, rest, &before)? {
                let variable = format!("{key}={value}");
                let prefix = format!("{key}=");
                match config.env.iter_mut().find(|v| v.starts_with(&prefix)) {
                    Some(known) => *known = variable,
                    None => config.env.push(variable),
                }
            }
        }
        "LABEL" => config.labels.extend(pairs(&name, rest, &config.env)?),
        "EXPOSE" => {
            for word in some(&name, rest)? {
                let word = words::expand(&word, &config.env)?;
                for word in word.split_whitespace() {
                    config.exposed_ports.extend(ports(word)?);
                }
            }
        }
        "VOLUME" => {
            for word in json(rest).map_or_else(|| some(&name, rest), Ok)? {
                match words::expand(&word, &config.env)?.trim() {
                    "" => return Err("VOLUME specified can not be an empty string".to_owned()),
                    path => drop(config.volumes.insert(path.to_owned())),
                }
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(config, rest)?),
        "ONBUILD" => config.on_build.push(trigger(rest)?),
        other => {
            return Err(format!(
                "{} is not a valid change command (use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, \
                 LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR)",
                other.to_lowercase()
            ));
        }
    }
    Ok(())
}

/// The form `["a", "b"]`, or a line for the shell.
fn command(config: &RunConfig, name: &str, text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Err(format!("{name} requires at least one argument"));
    }
    Ok(json(text).unwrap_or_else(|| {
        let shell = config.shell.clone();
        let mut line = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
        line.push(text.to_owned());
        line
    }))
}

fn json(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())?
}

fn some(name: &str, text: &str) -> Result<Vec<String>, String> {
    match text {
        "" => Err(format!("{name} requires at least one argument")),
        text => Ok(text.split_whitespace().map(str::to_owned).collect()),
    }
}

/// `key=value key2="two words"`, or the old form `key the rest`.
fn pairs(name: &str, text: &str, env: &[String]) -> Result<Vec<(String, String)>, String> {
    let words = words::split(text);
    let Some(first) = words.first() else {
        return Err(format!("{name} requires at least one argument"));
    };
    let expand = |key: &str, value: &str| {
        let key = words::expand(key, env)?;
        match &*key {
            "" => Err(format!("{name} names can not be blank")),
            _ => Ok((key, words::expand(value, env)?)),
        }
    };
    if !first.contains('=') {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("{name} must have two arguments"))?;
        return Ok(vec![expand(key, value.trim())?]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => expand(key, value),
        None => Err(format!(
            "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
        )),
    };
    words.iter().map(pair).collect()
}

/// `80`, `80/udp`, `8000-8002/tcp`; where it is published (`127.0.0.1:80:`) is no matter of images.
fn ports(word: &str) -> Result<Vec<String>, String> {
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let range = range.rsplit(':').next().unwrap_or(range);
    let protocol = protocol.to_ascii_lowercase();
    let number = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|&number| number > 0);
        number.ok_or_else(|| format!("Invalid containerPort: {range}"))
    };
    if !matches!(&*protocol, "tcp" | "udp" | "sctp") {
        return Err(format!("Invalid proto: {protocol}"));
    }
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    if first > last {
        return Err(format!("Invalid range specified for the Port: {range}"));
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

fn healthcheck(config: &RunConfig, mut text: &str) -> Result<Healthcheck, String> {
    let mut check = Healthcheck::default();
    while let Some(flag) = text.strip_prefix("--") {
        let (flag, rest) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let time = || {
            const SHORTEST: Duration = Duration::from_millis(1);
            match duration::parse(value) {
                Some(time) if time.is_zero() || time >= SHORTEST => Ok(time),
                Some(_) => Err(format!("Interval {name:?} cannot be less than 1ms")),
                None => Err(format!("invalid duration {value:?} of --{name}")),
            }
        };
        match name {
            "interval" => check.interval = time()?,
            "timeout" => check.timeout = time()?,
            "start-period" => check.start_period = time()?,
            "start-interval" => check.start_interval = time()?,
            "retries" => {
                let number = value.parse().ok().filter(|n| *n >= 1);
                check.retries =
                    number.ok_or_else(|| format!("--retries must be at least 1 (not {value})"))?;
            }
            _ => return Err(format!("Unknown flag: {name}")),
        }
        text = rest.trim_start();
    }
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    check.test = match &*kind.to_ascii_uppercase() {
        "" => return Err("HEALTHCHECK requires at least one argument".to_owned()),
        "NONE" if !rest.is_empty() => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "NONE" => vec!["NONE".to_owned()],
        "CMD" if rest.is_empty() => {
            return Err("Missing command after HEALTHCHECK CMD".to_owned());
        }
        "CMD" => match json(rest) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None => match &config.shell {
                Some(shell) => [&["CMD".to_owned()], &shell[..], &[rest.to_owned()]].concat(),
                None => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
            },
        },
        _ => return Err(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)")),
    };
    Ok(check)
}

fn trigger(text: &str) -> Result<String, String> {
    let name = text.split_whitespace().next().unwrap_or_default();
    match &*name.to_ascii_uppercase() {
        "" => Err("ONBUILD requires at least one argument".to_owned()),
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        name @ ("MAINTAINER" | "FROM") => {
            Err(format!("{name} isn't allowed as an ONBUILD trigger"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A path without `.`, `..` and doubled slashes.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied_to(mut config: RunConfig, changes: &[&str]) -> RunConfig {
        apply(&mut config, changes.iter().copied()).unwrap();
        config
    }

    fn applied(changes: &[&str]) -> RunConfig {
        applied_to(RunConfig::default(), changes)
    }

    #[test]
    fn commands() {
        let config = applied(&["CMD [\"a\", \"b c\"]", "entrypoint a 'b c'"]);
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "a 'b c'"]);
        // What looks like JSON and is none is for the shell.
        assert_eq!(
            applied(&["CMD [\"a]"]).cmd.unwrap(),
            ["/bin/sh", "-c", "[\"a]"]
        );
        let config = applied(&["CMD a\n# and\n\nENV B=1"]);
        assert_eq!((config.cmd.unwrap().len(), &*config.env[0]), (3, "B=1"));
        let shell = RunConfig {
            shell: Some(vec!["/bin/ash".into(), "-ec".into()]),
            ..RunConfig::default()
        };
        assert_eq!(
            applied_to(shell, &["CMD x"]).cmd.unwrap(),
            ["/bin/ash", "-ec", "x"]
        );
    }

    #[test]
    fn a_new_entry_point_does_not_want_the_old_arguments() {
        let old = || RunConfig {
            cmd: Some(vec!["old".into()]),
            ..RunConfig::default()
        };
        assert_eq!(applied_to(old(), &["ENTRYPOINT x"]).cmd, None);
        let new = applied_to(old(), &["CMD [\"new\"]", "ENTRYPOINT x"]);
        assert_eq!(new.cmd.unwrap(), ["new"]);
    }

    #[test]
    fn variables() {
        let config = applied(&["ENV A=1 B=\"x y\" C=x\\ y", "ENV A 2  3", "ENV D='$A \"'"]);
        assert_eq!(config.env, ["A=2  3", "B=x y", "C=x y", "D=$A \""]);
        // Filled in from what was there before the instruction.
        let config = applied(&["ENV A=1", "ENV A=9 C=$A/x E=${NO:-d}"]);
        assert_eq!(config.env, ["A=9", "C=1/x", "E=d"]);
        let config = applied(&["ENV V=/v P=81", "LABEL a.b=1 \"c d\"=\"\\\"d\\\"\" e=$V"]);
        assert_eq!(config.labels["c d"], "\"d\"");
        assert_eq!(config.labels["e"], "/v");
        let config = applied(&["ENV V=/v P=81", "VOLUME $V", "EXPOSE $P", "USER u$P"]);
        assert!(config.volumes.contains("/v") && config.exposed_ports.contains("81/tcp"));
        assert_eq!(config.user, "u81");
    }

    #[test]
    fn places() {
        let config = applied(&[
            "WORKDIR /a/b",
            "WORKDIR ../c",
            "VOLUME [\"/v\"]",
            "VOLUME /v /w",
        ]);
        assert_eq!(config.working_dir, "/a/c");
        assert!(config.volumes.into_iter().eq(["/v", "/w"]));
        let config = applied(&["EXPOSE 80 53/UDP 8000-8001 127.0.0.1:90:91"]);
        let expected = ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "91/tcp"];
        assert!(config.exposed_ports.into_iter().eq(expected));
    }

    #[test]
    fn health() {
        let check = |text: &str| applied(&[text]).healthcheck.unwrap();
        let full =
            check("HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=4 CMD a b");
        assert_eq!(full.test, ["CMD-SHELL", "a b"]);
        let times = (full.interval, full.timeout, full.start_period, full.retries);
        let seconds = Duration::from_secs;
        assert_eq!(times, (seconds(5), seconds(3), seconds(60), 4));
        assert_eq!(check("HEALTHCHECK NONE").test, ["NONE"]);
        assert_eq!(
            check("HEALTHCHECK cmd [\"a\",\"b\"]").test,
            ["CMD", "a", "b"]
        );
        let config = applied(&["ONBUILD RUN x", "ONBUILD  ADD . /"]);
        assert_eq!(config.on_build, ["RUN x", "ADD . /"]);
    }

    #[test]
    fn faults() {
        for bad in [
            "",
            "# nothing",
            "CMD",
            "RUN x",
            "FROM x",
            "SHELL [\"a\"]",
            "EXPOSE",
            "EXPOSE 0",
            "EXPOSE 80/icmp",
            "EXPOSE 9-8",
            "EXPOSE 70000",
            "ENV A",
            "ENV A=\"x",
            "ENV =x",
            "ENV A=1 B",
            "ENV A=${",
            "LABEL x",
            "USER",
            "VOLUME",
            "VOLUME [\"\"]",
            "HEALTHCHECK",
            "HEALTHCHECK CMD",
            "HEALTHCHECK FOO",
            "HEALTHCHECK NONE x",
            "HEALTHCHECK --interval=1us CMD x",
            "HEALTHCHECK --retries=0 CMD x",
            "HEALTHCHECK --x=1 CMD x",
            "ONBUILD",
            "ONBUILD FROM x",
            "ONBUILD onbuild RUN x",
        ] {
            assert!(apply(&mut RunConfig::default(), [bad]).is_err(), "{bad}");
        }
    }
}
