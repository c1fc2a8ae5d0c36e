use std::io;

/// What is wrong with what was said about logging, or why logging cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No driver of Docker's, and none of ours.
    #[error(
        "error looking up logging plugin {driver}: there are no plugins here; the log drivers are \
         json-file, local, syslog, journald and none"
    )]
    UnknownDriver {
        /// As the caller wrote it.
        driver: String,
    },
    /// A driver of Docker's that is not here.
    #[error(
        "the log driver {driver} is not here: use json-file, local, syslog, journald or none, and \
         let a collector read from there"
    )]
    NoSuchDriver {
        /// Its name.
        driver: String,
    },
    /// An option that the driver does not know.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    UnknownOption {
        /// The driver.
        driver: String,
        /// The option.
        option: String,
    },
    /// An option's value is wrong.
    #[error("invalid log opt {option}={value:?} for {driver} log driver: {reason}")]
    Option {
        /// The driver.
        driver: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The driver has nowhere to write to.
    #[error("cannot log to {to}: {source}{advice}")]
    Connect {
        /// The address.
        to: String,
        /// Why it cannot be reached.
        source: io::Error,
        /// What can be done.
        advice: &'static str,
    },
    /// What was logged cannot be read back.
    #[error("configured logging driver does not support reading (driver {driver}{why})")]
    NotReadable {
        /// The driver.
        driver: String,
        /// Why not.
        why: &'static str,
    },
}
