//! What `output` does: feeds a process, collects what it writes, waits for its end, within the
//! bounds that the caller has set.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe::{Receiver, Sender};

use crate::container::{ExitStatus, Output};
use crate::error::{Error, Result};
use crate::stdio::{Stdio, Streams, Wanted};

/// The bounds, and what goes in.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    pub(crate) input: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
    /// Bytes of each stream.
    pub(crate) limit: Option<usize>,
}

impl Capture {
    /// Refuses what only `output` can honour.
    pub(crate) fn none(&self) -> Result<()> {
        let set = [
            ("input", self.input.is_some()),
            ("timeout", self.timeout.is_some()),
            ("output_limit", self.limit.is_some()),
        ];
        match set.into_iter().find(|(_, set)| *set) {
            None => Ok(()),
            Some((setting, _)) => Err(Error::Setting {
                setting,
                value: String::new(),
                reason: "only output() feeds, bounds and collects; with other calls the streams \
                         are the caller's"
                    .into(),
            }),
        }
    }

    /// Pipes, where the caller has not said otherwise.
    pub(crate) fn streams(&self, streams: Wanted) -> Wanted {
        let stdin = match self.input {
            Some(_) => Stdio::Piped,
            None => Stdio::Null,
        };
        streams.or(stdin, Stdio::Piped)
    }

    /// Feeds a process and collects what it writes until it has ended.
    pub(crate) async fn run<W: Future<Output = Result<ExitStatus>>>(
        self,
        what: String,
        streams: Streams,
        wait: impl Fn() -> W,
    ) -> Result<Output> {
        let ended = || async {
            _ = wait().await;
        };
        let collect = |stream, pipe| {
            let what = what.clone();
            let too_much = move |limit| Error::OutputLimit {
                what: what.clone(),
                stream,
                limit,
            };
            collect(pipe, self.limit, too_much, ended())
        };
        let all = async {
            let (stdout, stderr, status, ()) = tokio::try_join!(
                collect("stdout", streams.stdout),
                collect("stderr", streams.stderr),
                wait(),
                feed(
                    streams.stdin,
                    self.input.as_deref().unwrap_or_default(),
                    ended()
                ),
            )?;
            Ok(Output {
                status,
                stdout,
                stderr,
            })
        };
        match self.timeout {
            None => all.await,
            Some(after) => match tokio::time::timeout(after, all).await {
                Ok(output) => output,
                Err(_) => Err(Error::TimedOut { what, after }),
            },
        }
    }
}

/// Writes all there is and closes the pipe. A process that does not read it all has had enough.
async fn feed(
    pipe: Option<OwnedFd>,
    mut bytes: &[u8],
    ended: impl Future<Output = ()>,
) -> Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let wrap = || Error::system("write to the process");
    let pipe = Sender::from_owned_fd(pipe).map_err(wrap())?;
    tokio::pin!(ended);
    while !bytes.is_empty() {
        match pipe.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                tokio::select! {
                    ready = pipe.writable() => ready.map_err(wrap())?,
                    () = &mut ended => return Ok(()),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(wrap()(e)),
        }
    }
    Ok(())
}

/// Collects what comes through a pipe until its end, or until `ended` and the pipe is empty: a
/// descriptor that a container gave away keeps nobody waiting.
async fn collect(
    pipe: Option<OwnedFd>,
    limit: Option<usize>,
    too_much: impl Fn(usize) -> Error,
    ended: impl Future<Output = ()>,
) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    let Some(pipe) = pipe else { return Ok(output) };
    let wrap = || Error::system("read the container's output");
    let pipe = Receiver::from_owned_fd(pipe).map_err(wrap())?;
    tokio::pin!(ended);
    loop {
        let read = read_available(&mut output, limit, |buffer| pipe.try_read(buffer));
        match (read.map_err(wrap())?, limit) {
            (End::Reached, _) => return Ok(output),
            (End::TooMuch, limit) => return Err(too_much(limit.unwrap_or(0))),
            (End::NotYet, _) => {}
        }
        tokio::select! {
            ready = pipe.readable() => ready.map_err(wrap())?,
            () = &mut ended => break,
        }
    }
    // The kernel is asked: `try_read` answers from what tokio last heard of the pipe, and the news
    // of the end may overtake the news of the last bytes.
    let read = |buffer: &mut [u8]| Ok(rustix::io::read(&pipe, buffer)?);
    match read_available(&mut output, limit, read).map_err(wrap())? {
        End::TooMuch => Err(too_much(limit.unwrap_or(0))),
        End::Reached | End::NotYet => Ok(output),
    }
}

enum End {
    Reached,
    NotYet,
    TooMuch,
}

fn read_available(
    output: &mut Vec<u8>,
    limit: Option<usize>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<End> {
    let mut buffer = [0; 16 << 10];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(End::Reached),
            Ok(n) if limit.is_some_and(|limit| output.len() + n > limit) => {
                return Ok(End::TooMuch);
            }
            Ok(n) => output.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(End::NotYet),
            Err(e) => return Err(e),
        }
    }
}
