//! What a caller says about logging, checked. Pure: nothing here opens a file or a connection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::LogError;
use super::size;
use super::syslog::{self, Syslog};
use super::tag::{self, Subject};
use crate::request::LogConfig;

/// Docker's drivers that are not here.
const ELSEWHERE: [&str; 8] = [
    "awslogs",
    "etwlogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "logentries",
    "splunk",
    "passthrough",
];
const NAMES: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
const FILES: [&str; 3] = ["max-size", "max-file", "compress"];
const CACHE: [&str; 4] = [
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
];
/// The labels and variables of one record, in bytes.
const MAX_ATTRIBUTES: usize = 64 << 10;

/// A checked configuration: all that the monitor needs to log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    /// Goes with every record.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Rather lose records than wait: this many bytes may be on their way.
    pub(crate) non_blocking: Option<usize>,
}

/// Where records go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    #[default]
    None,
    JsonFile(Limits),
    Local(Limits),
    Syslog {
        syslog: Syslog,
        tag: String,
        cache: Option<Limits>,
    },
    Journald {
        /// Fields that every record has.
        fields: Vec<(String, String)>,
        cache: Option<Limits>,
    },
}

/// How large the files of a log may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes after which a new file is begun; none: never.
    pub(crate) size: Option<u64>,
    /// Files that are kept, the one being written included.
    pub(crate) files: u32,
    /// Compress those that are full.
    pub(crate) compress: bool,
}

/// Docker's defaults of the driver `local`, and of what is kept for `logs` by drivers that cannot
/// be read.
const LOCAL: Limits = Limits {
    size: Some(20 << 20),
    files: 5,
    compress: true,
};

/// The options of one driver, on their way to be checked.
struct Options<'a> {
    driver: &'a str,
    options: &'a BTreeMap<String, String>,
}

impl<'a> Options<'a> {
    /// An option's value; an empty one is as good as none.
    fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.options.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    fn error(&self, option: &'static str, reason: impl Into<String>) -> LogError {
        LogError::Option {
            driver: self.driver.to_owned(),
            option,
            value: self.get(option).unwrap_or_default().to_owned(),
            reason: reason.into(),
        }
    }

    /// Refuses what the driver does not know.
    fn only(&self, known: &[&[&str]]) -> Result<(), LogError> {
        let unknown = self.options.keys().find(|option| {
            !known.iter().any(|some| some.contains(&option.as_str()))
                && !["mode", "max-buffer-size"].contains(&option.as_str())
        });
        match unknown {
            None => Ok(()),
            Some(option) => Err(LogError::UnknownOption {
                driver: self.driver.to_owned(),
                option: option.clone(),
            }),
        }
    }

    fn switch(&self, option: &'static str) -> Result<Option<bool>, LogError> {
        match self.get(option) {
            None => Ok(None),
            // What Go's strconv.ParseBool takes.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(_) => Err(self.error(option, "it must be true or false")),
        }
    }

    fn limits(&self, names: [&'static str; 3], default: Limits) -> Result<Limits, LogError> {
        let [size_name, files_name, compress_name] = names;
        let size = match self.get(size_name) {
            None => default.size,
            Some(text) => {
                let bytes = size::decimal(text).filter(|bytes| *bytes > 0);
                let reason = "it must be a positive number of bytes, as 10m (10,000,000)";
                Some(bytes.ok_or_else(|| self.error(size_name, reason))?)
            }
        };
        let files = match self.get(files_name) {
            None => default.files,
            Some(text) => text
                .parse()
                .ok()
                .filter(|files| *files > 0)
                .ok_or_else(|| self.error(files_name, "it must be a number from 1 on"))?,
        };
        let rotates = files > 1 && size.is_some();
        let compress = self.switch(compress_name)?;
        if compress == Some(true) && !rotates {
            let reason = format!("it needs {size_name} and {files_name} of 2 or more");
            return Err(self.error(compress_name, reason));
        }
        Ok(Limits {
            size,
            files,
            compress: compress.unwrap_or(default.compress && rotates),
        })
    }

    fn cache(&self) -> Result<Option<Limits>, LogError> {
        if self.switch("cache-disabled")? == Some(true) {
            return Ok(None);
        }
        let names = ["cache-max-size", "cache-max-file", "cache-compress"];
        self.limits(names, LOCAL).map(Some)
    }

    fn non_blocking(&self) -> Result<Option<usize>, LogError> {
        let size = self.get("max-buffer-size");
        match (self.get("mode"), size) {
            (None | Some("blocking"), None) => Ok(None),
            (None | Some("blocking"), Some(_)) => {
                Err(self.error("max-buffer-size", "it is for mode=non-blocking only"))
            }
            (Some("non-blocking"), None) => Ok(Some(1 << 20)),
            (Some("non-blocking"), Some(text)) => size::binary(text)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| (1..=1 << 30).contains(bytes))
                .map(Some)
                .ok_or_else(|| {
                    let reason = "it must be a number of bytes up to 1g, as 4m";
                    self.error("max-buffer-size", reason)
                }),
            (Some(_), _) => Err(self.error("mode", "it must be blocking or non-blocking")),
        }
    }

    /// The labels and variables that the options name, and the tag if there is one.
    fn attributes(&self, subject: &Subject<'_>) -> Result<BTreeMap<String, String>, LogError> {
        let labels = subject.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let env = subject.env.iter().filter_map(|line| line.split_once('='));
        let mut chosen = BTreeMap::new();
        self.choose("labels", "labels-regex", labels, &mut chosen)?;
        self.choose("env", "env-regex", env, &mut chosen)?;
        if let Some(template) = self.get("tag") {
            chosen.insert("tag".to_owned(), self.tag(template, subject)?);
        }
        if chosen.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > MAX_ATTRIBUTES {
            let option = NAMES.into_iter().find(|name| self.get(name).is_some());
            return Err(self.error(
                option.unwrap_or("labels"),
                "more than 64 KiB would be added to every line of the log",
            ));
        }
        Ok(chosen)
    }

    fn choose<'b>(
        &self,
        list: &'static str,
        regex: &'static str,
        all: impl Iterator<Item = (&'b str, &'b str)>,
        chosen: &mut BTreeMap<String, String>,
    ) -> Result<(), LogError> {
        let names: Vec<&str> = self
            .get(list)
            .into_iter()
            .flat_map(|l| l.split(','))
            .collect();
        let pattern = self.get(regex).map(|pattern| {
            regex_lite::Regex::new(pattern).map_err(|error| self.error(regex, error.to_string()))
        });
        let pattern = pattern.transpose()?;
        for (name, value) in all {
            let matches = |pattern: &regex_lite::Regex| pattern.is_match(name);
            if names.contains(&name) || pattern.as_ref().is_some_and(matches) {
                chosen.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    fn tag(&self, template: &str, subject: &Subject<'_>) -> Result<String, LogError> {
        tag::fill(template, subject).map_err(|reason| self.error("tag", reason))
    }
}

impl Settings {
    /// Checks what was said about logging for a container.
    pub(crate) fn new(config: &LogConfig, subject: &Subject<'_>) -> Result<Self, LogError> {
        let driver = config.driver.as_str();
        let options = Options {
            driver,
            options: &config.options,
        };
        let mut attributes = BTreeMap::new();
        let target = match driver {
            "none" => {
                options.only(&[])?;
                Target::None
            }
            "json-file" | "" => {
                options.only(&[&FILES, &NAMES])?;
                attributes = options.attributes(subject)?;
                Target::JsonFile(options.limits(
                    FILES,
                    Limits {
                        size: None,
                        files: 1,
                        compress: false,
                    },
                )?)
            }
            "local" => {
                options.only(&[&FILES])?;
                Target::Local(options.limits(FILES, LOCAL)?)
            }
            "syslog" => {
                options.only(&[&CACHE, &NAMES, &syslog::OPTIONS])?;
                options.attributes(subject)?;
                Target::Syslog {
                    syslog: Syslog::new(&|name| options.get(name))
                        .map_err(|(option, reason)| options.error(option, reason))?,
                    tag: options.tag(options.get("tag").unwrap_or(tag::DEFAULT), subject)?,
                    cache: options.cache()?,
                }
            }
            "journald" => {
                options.only(&[&CACHE, &NAMES])?;
                let mut named = options.attributes(subject)?;
                named.remove("tag");
                let tag = options.tag(options.get("tag").unwrap_or(tag::DEFAULT), subject)?;
                Target::Journald {
                    fields: super::journald::fields(subject, &tag, &named),
                    cache: options.cache()?,
                }
            }
            driver if ELSEWHERE.contains(&driver) => {
                return Err(LogError::NoSuchDriver {
                    driver: driver.to_owned(),
                });
            }
            driver => {
                return Err(LogError::UnknownDriver {
                    driver: driver.to_owned(),
                });
            }
        };
        Ok(Self {
            target,
            attributes,
            non_blocking: options.non_blocking()?,
        })
    }
}

/// How a log on disk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Local,
}

impl Format {
    /// In which format the log of a container of this configuration can be read back.
    pub(crate) fn of(config: &LogConfig) -> Result<Self, LogError> {
        let no = |why| LogError::NotReadable {
            driver: config.driver.clone(),
            why,
        };
        let disabled = Options {
            driver: &config.driver,
            options: &config.options,
        }
        .switch("cache-disabled");
        match config.driver.as_str() {
            "json-file" | "" => Ok(Self::Json),
            "none" => Err(no("")),
            "syslog" | "journald" if matches!(disabled, Ok(Some(true))) => {
                Err(no(", with cache-disabled"))
            }
            _ => Ok(Self::Local),
        }
    }

    /// The name of the file that is being written.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Json => "log.json",
            Self::Local => "log.local",
        }
    }
}
