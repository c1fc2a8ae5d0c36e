//! `stop`, `restart`, `kill`

use std::time::Duration;

use container_core::spec::signal_number;

use super::each;
use crate::cli::container::{KillArgs, StopArgs};
use crate::error::Error;
use crate::settings::Settings;

/// Docker's -1: to wait without end. No machine runs that long.
const ENDLESS: Duration = Duration::from_secs(u32::MAX as u64);

/// A signal's number; none for an empty text.
fn signal(text: Option<&str>) -> Result<Option<i32>, Error> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => match signal_number(text) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::Signal(text.to_owned())),
        },
    }
}

fn timeout(seconds: Option<i64>) -> Option<Duration> {
    seconds.map(|seconds| match u64::try_from(seconds) {
        Ok(seconds) => Duration::from_secs(seconds).min(ENDLESS),
        Err(_) => ENDLESS,
    })
}

/// Stops containers.
pub(crate) fn stop(settings: &Settings, args: StopArgs) -> Result<u8, Error> {
    let (signal, timeout) = (signal(args.signal.as_deref())?, timeout(args.timeout));
    each::at_once(settings, &args.containers, async move |engine, name| {
        engine.get(name)?.stop_with(signal, timeout).await?;
        Ok(())
    })
}

/// Stops containers and starts them again, one after the other.
pub(crate) fn restart(settings: &Settings, args: StopArgs) -> Result<u8, Error> {
    let (signal, timeout) = (signal(args.signal.as_deref())?, timeout(args.timeout));
    each::in_turn(settings, &args.containers, async |engine, name| {
        engine.get(name)?.restart(signal, timeout).await?;
        Ok(name.to_owned())
    })
}

/// Sends a signal, SIGKILL unless told.
pub(crate) fn kill(settings: &Settings, args: KillArgs) -> Result<u8, Error> {
    let signal = signal(args.signal.as_deref())?.unwrap_or(9);
    each::at_once(settings, &args.containers, async move |engine, name| {
        let killed = match engine.get(name) {
            Ok(container) => container.kill(signal).await,
            Err(error) => Err(error),
        };
        killed.map_err(|source| Error::Kill {
            container: name.to_owned(),
            source,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_wait() {
        assert_eq!(timeout(None), None);
        assert_eq!(timeout(Some(0)), Some(Duration::ZERO));
        assert_eq!(timeout(Some(-1)), Some(ENDLESS));
        assert_eq!(timeout(Some(i64::MAX)), Some(ENDLESS));
    }

    #[test]
    fn signals() {
        assert_eq!(signal(None).unwrap(), None);
        assert_eq!(signal(Some("")).unwrap(), None);
        assert_eq!(signal(Some("term")).unwrap(), Some(15));
        assert!(signal(Some("FOO")).is_err());
    }
}
