//! Docker's flags of `run` and `create` that are known and refused, each with the reason.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::error::Error;

/// A flag of Docker's that is known but not here, yet or ever.
struct Later {
    long: &'static str,
    short: Option<char>,
    /// Whether it has a value.
    valued: bool,
    /// The value that asks for what happens anyway.
    harmless: Option<&'static str>,
    /// Why it is refused.
    why: &'static str,
}

const fn later(long: &'static str, why: &'static str) -> Later {
    Later {
        long,
        short: None,
        valued: true,
        harmless: None,
        why,
    }
}

const NETWORKS: &str = "networks come later";
const WINDOWS: &str = "it is for containers of Windows";

/// Docker's flags of `run` that are refused, each with the reason.
const LATER: &[Later] = &[
    later("cpu-count", WINDOWS),
    later("cpu-percent", WINDOWS),
    Later {
        harmless: Some("true"),
        valued: false,
        ..later("disable-content-trust", "images are not signed here")
    },
    later("expose", NETWORKS),
    later("gpus", "GPUs come later; --device passes single devices in"),
    later("io-maxbandwidth", WINDOWS),
    later("io-maxiops", WINDOWS),
    later("ip", NETWORKS),
    later("ip6", NETWORKS),
    Later {
        harmless: Some("default"),
        ..later("isolation", WINDOWS)
    },
    later("kernel-memory", "the kernel has no such limit any more"),
    later("link", NETWORKS),
    later("link-local-ip", NETWORKS),
    later(
        "lxc-conf",
        "it went with LXC, which runs no containers here",
    ),
    later("mac-address", NETWORKS),
    later("network-alias", NETWORKS),
    Later {
        short: Some('p'),
        ..later("publish", NETWORKS)
    },
    Later {
        short: Some('P'),
        valued: false,
        harmless: Some("false"),
        ..later("publish-all", NETWORKS)
    },
    later(
        "runtime",
        "there is one runtime, and it is part of this program",
    ),
    later("storage-opt", "quotas of the root file system come later"),
    Later {
        valued: false,
        harmless: Some("false"),
        ..later("use-api-socket", "there is no daemon and no API socket")
    },
];

/// The flags of a verb, and those it refuses.
pub(crate) fn augment<A: Args>(command: Command) -> Command {
    LATER.iter().fold(A::augment_args(command), add)
}

/// What a verb was given.
///
/// # Errors
/// A flag that is not here, with the reason.
pub(crate) fn take<A: FromArgMatches>(matches: &mut ArgMatches) -> Result<A, Error> {
    refuse(matches)?;
    Ok(A::from_arg_matches_mut(matches)?)
}

/// Adds a flag that is refused, so that it is known and refused with its reason.
fn add(command: Command, flag: &Later) -> Command {
    let mut arg = Arg::new(flag.long).long(flag.long).hide(true);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    command.arg(match flag.valued {
        true => arg.action(ArgAction::Append),
        false => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    })
}

fn refuse(matches: &ArgMatches) -> Result<(), Error> {
    for flag in LATER {
        for value in matches.get_many::<String>(flag.long).into_iter().flatten() {
            if flag.harmless != Some(value) {
                return Err(Error::FlagLater {
                    flag: flag.long,
                    why: flag.why,
                });
            }
        }
    }
    Ok(())
}
