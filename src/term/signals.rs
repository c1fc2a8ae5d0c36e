//! The signals that are forwarded to a container.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Docker forwards what can be caught and is not about this process itself (a child's end, a broken
/// pipe, its own faults, job control).
const FORWARDED: [Signal; 13] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::CONT,
    Signal::VTALARM,
    Signal::PROF,
    Signal::WINCH,
    Signal::IO,
    Signal::POWER,
];

/// What ends a program that does not care.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Signals of this process, caught from when this is made.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Catches all that are forwarded.
    ///
    /// # Errors
    /// A handler cannot be set.
    pub(crate) fn forwarded() -> io::Result<Self> {
        Self::catch(&FORWARDED)
    }

    /// Catches those that would end this program, and changes of the window's size.
    ///
    /// # Errors
    /// A handler cannot be set.
    pub(crate) fn ending_and_resize() -> io::Result<Self> {
        let mut signals = ENDING.to_vec();
        signals.push(Signal::WINCH);
        Self::catch(&signals)
    }

    fn catch(signals: &[Signal]) -> io::Result<Self> {
        let one = |signal: &Signal| {
            Ok((
                *signal,
                unix::signal(SignalKind::from_raw(signal.as_raw()))?,
            ))
        };
        signals.iter().map(one).collect::<io::Result<_>>().map(Self)
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}
