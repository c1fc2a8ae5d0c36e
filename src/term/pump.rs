//! Copies between this program's streams and a container's, on threads of their own: the shell's
//! terminal is shared with other processes and must not be made non-blocking.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::flags::detach_keys::DetachKeys;

/// The thread that prints what a container's terminal shows.
#[derive(Debug)]
pub(crate) struct Screen {
    done: Receiver<()>,
}

/// Starts printing what the terminal shows to standard output.
///
/// # Errors
/// No thread can be started.
pub(crate) fn screen(terminal: OwnedFd) -> io::Result<Screen> {
    let (end, done) = channel();
    thread::Builder::new()
        .name("terminal output".into())
        .spawn(move || {
            let mut stdout = io::stdout().lock();
            copy(&mut File::from(terminal), |bytes| {
                stdout
                    .write_all(bytes)
                    .and_then(|()| stdout.flush())
                    .is_ok()
            });
            // The receiver may be gone: then nobody waits.
            let _ = end.send(());
        })?;
    Ok(Screen { done })
}

impl Screen {
    /// Waits until everything is printed; not for ever, since a process that escaped its
    /// container's end could hold the terminal open.
    pub(crate) fn finish(self) {
        let _ = self.done.recv_timeout(Duration::from_secs(2));
    }
}

/// Why nothing more is typed.
#[derive(Debug)]
pub(crate) enum Typed {
    /// The keys that detach were.
    Keys,
    /// Standard input has ended, or nobody takes it any more.
    All,
}

/// The thread that types.
#[derive(Debug)]
pub(crate) struct Keyboard {
    end: oneshot::Receiver<Typed>,
}

/// Starts typing standard input into a terminal or pipe, until the keys are typed that detach. The
/// thread ends with the program: it cannot be woken from a read of the shell's terminal.
///
/// # Errors
/// No thread can be started.
pub(crate) fn keyboard(to: OwnedFd, keys: Option<DetachKeys>) -> io::Result<Keyboard> {
    let (tell, end) = oneshot::channel();
    thread::Builder::new()
        .name("terminal input".into())
        .spawn(move || {
            let typed = type_into(&mut File::from(to), keys);
            // The receiver may be gone: then nobody waits.
            let _ = tell.send(typed);
        })?;
    Ok(Keyboard { end })
}

fn type_into(to: &mut File, mut keys: Option<DetachKeys>) -> Typed {
    let mut how = Typed::All;
    let mut passed = Vec::new();
    copy(&mut io::stdin().lock(), |bytes| {
        let Some(keys) = &mut keys else {
            return to.write_all(bytes).is_ok();
        };
        passed.clear();
        if keys.pass(bytes, &mut passed) {
            how = Typed::Keys;
        }
        to.write_all(&passed).is_ok() && !matches!(how, Typed::Keys)
    });
    how
}

impl Keyboard {
    /// Waits until nothing more is typed.
    pub(crate) async fn end(&mut self) -> Typed {
        // A thread that panicked types nothing either.
        (&mut self.end).await.unwrap_or(Typed::All)
    }
}

/// Copies until one side ends. Reading a terminal whose other side is closed gives EIO: an end too.
fn copy(from: &mut dyn Read, mut take: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if !buffer.get(..read).is_some_and(&mut take) {
            return;
        }
    }
}
