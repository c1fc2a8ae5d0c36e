//! Copies between this program's streams and a container's terminal, on threads of their own:
//! the shell's terminal is shared with other processes and must not be made non-blocking.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

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
            copy(&mut File::from(terminal), &mut io::stdout().lock());
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

/// Starts typing standard input into the terminal. The thread ends with the program: it cannot be
/// woken from a read of the shell's terminal.
///
/// # Errors
/// No thread can be started.
pub(crate) fn keyboard(terminal: OwnedFd) -> io::Result<()> {
    thread::Builder::new()
        .name("terminal input".into())
        .spawn(move || {
            copy(&mut io::stdin().lock(), &mut File::from(terminal));
        })?;
    Ok(())
}

/// Copies until one side ends. Reading a terminal whose other side is closed gives EIO: an end too.
fn copy(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let Some(bytes) = buffer.get(..read) else {
            return;
        };
        if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
