//! The Dockerfile instructions that `import --change` takes. Pure.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image::Config;

use super::ArchiveError;

/// Applies one instruction to a configuration.
pub(super) fn apply(config: &mut Config, instruction: &str) -> Result<(), ArchiveError> {
    let fault = |reason: String| ArchiveError::Change {
        instruction: instruction.chars().take(200).collect(),
        reason,
    };
    let text = instruction.trim();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(fault("it has no argument".to_owned()));
    }
    match name.to_ascii_uppercase().as_str() {
        "CMD" => {
            config.set_cmd(Some(command(rest)));
        }
        "ENTRYPOINT" => {
            config.set_entrypoint(Some(command(rest)));
        }
        "USER" => {
            config.set_user(Some(rest.to_owned()));
        }
        "STOPSIGNAL" => {
            config.set_stop_signal(Some(rest.to_owned()));
        }
        "WORKDIR" => {
            let base = config.working_dir().clone().unwrap_or_default();
            let path = if rest.starts_with('/') {
                rest.to_owned()
            } else {
                format!("{base}/{rest}")
            };
            config.set_working_dir(Some(clean(&path)));
        }
        "ENV" => {
            let mut environment = config.env().clone().unwrap_or_default();
            for (key, value) in pairs(rest).map_err(fault)? {
                let variable = format!("{key}={value}");
                let prefix = format!("{key}=");
                match environment
                    .iter_mut()
                    .find(|known| known.starts_with(&prefix))
                {
                    Some(known) => *known = variable,
                    None => environment.push(variable),
                }
            }
            config.set_env(Some(environment));
        }
        "LABEL" => {
            let mut labels: HashMap<_, _> = config.labels().clone().unwrap_or_default();
            labels.extend(pairs(rest).map_err(fault)?);
            config.set_labels(Some(labels));
        }
        "EXPOSE" => {
            let mut ports = config.exposed_ports().clone().unwrap_or_default();
            for word in rest.split_whitespace() {
                for port in port(word).map_err(fault)? {
                    if !ports.contains(&port) {
                        ports.push(port);
                    }
                }
            }
            config.set_exposed_ports(Some(ports));
        }
        "VOLUME" => {
            let mut volumes = config.volumes().clone().unwrap_or_default();
            let words = json_words(rest);
            let words =
                words.unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            for word in words {
                if !volumes.contains(&word) {
                    volumes.push(word);
                }
            }
            config.set_volumes(Some(volumes));
        }
        other => {
            return Err(fault(format!(
                "{other} is not one of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, \
                 VOLUME, WORKDIR"
            )));
        }
    }
    Ok(())
}

/// The form `["a", "b"]`, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    json_words(text).unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into(), text.into()])
}

fn json_words(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())?
}

/// `80`, `80/udp`, `8000-8002/tcp`.
fn port(word: &str) -> Result<Vec<String>, String> {
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let number = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|&number| number > 0);
        number.ok_or_else(|| format!("{word:?} is not a port"))
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("{protocol:?} is not tcp, udp or sctp"));
    }
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    if first > last {
        return Err(format!("the range of ports {range:?} goes backwards"));
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

/// `key=value key2="two words"`, or the old form `key the rest`.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, String> {
    let words = words(text)?;
    let first = words.first().map(String::as_str).unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or("it has a name without a value")?;
        return Ok(BTreeMap::from([(key.to_owned(), value.trim().to_owned())]));
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not of the form name=value")),
    };
    words.into_iter().map(pair).collect()
}

/// Splits at spaces that are neither quoted nor escaped, and takes quotes and escapes away.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let escaped = chars.next().unwrap_or('\\');
                let word = word.get_or_insert_default();
                if quote.is_some() && !matches!(escaped, '"' | '\\' | '$') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
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

    fn applied(changes: &[&str]) -> Config {
        let mut config = Config::default();
        for change in changes {
            apply(&mut config, change).unwrap();
        }
        config
    }

    #[test]
    fn commands() {
        let config = applied(&["CMD [\"a\", \"b c\"]", "entrypoint a 'b c'"]);
        assert_eq!(config.cmd().as_ref().unwrap(), &["a", "b c"]);
        let shell = ["/bin/sh", "-c", "a 'b c'"];
        assert_eq!(config.entrypoint().as_ref().unwrap(), &shell);
    }

    #[test]
    fn variables() {
        let config = applied(&["ENV A=1 B=\"x y\" C=x\\ y", "ENV A 2  3", "ENV D='$A \"'"]);
        let expected = ["A=2  3", "B=x y", "C=x y", "D=$A \""];
        assert_eq!(config.env().as_ref().unwrap(), &expected);
        let config = applied(&["LABEL a.b=1 c=\"\\\"d\\\"\""]);
        assert_eq!(config.labels().as_ref().unwrap()["c"], "\"d\"");
    }

    #[test]
    fn places() {
        let config = applied(&[
            "WORKDIR /a/b",
            "WORKDIR ../c",
            "VOLUME [\"/v\"]",
            "VOLUME /v /w",
        ]);
        assert_eq!(config.working_dir().as_deref(), Some("/a/c"));
        assert_eq!(config.volumes().as_ref().unwrap(), &["/v", "/w"]);
        let config = applied(&["EXPOSE 80 53/UDP 8000-8001"]);
        let expected = ["80/tcp", "53/udp", "8000/tcp", "8001/tcp"];
        assert_eq!(config.exposed_ports().as_ref().unwrap(), &expected);
    }

    #[test]
    fn faults() {
        for bad in [
            "",
            "CMD",
            "RUN x",
            "FROM x",
            "EXPOSE 0",
            "EXPOSE 80/icmp",
            "EXPOSE 9-8",
            "EXPOSE 70000",
            "ENV A",
            "ENV A=\"x",
            "ENV =x",
            "ENV A=1 B",
            "ONBUILD RUN x",
        ] {
            assert!(apply(&mut Config::default(), bad).is_err(), "{bad}");
        }
    }
}
