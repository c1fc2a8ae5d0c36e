//! A command that was run to its end: what it said, how it ended, and assertions that show all of it when they fail.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine; a hang is a failure, not a wait.
const LIMIT: Duration = Duration::from_secs(180);
/// How long after the end of a command its output may stay open: somebody else holds it then.
const DRAIN: Duration = Duration::from_secs(5);

/// The end of a command.
pub(crate) struct Ran {
    command: String,
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// The exit code; 128+n when signal n ended it, as a shell says it.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Asserts exit code 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Ran {
        self.exits(0)
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code(), code, "exit code (left: got) of {self}");
        self
    }

    /// Asserts the whole of standard output.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Ran {
        assert_eq!(self.stdout, text, "standard output (left: got) of {self}");
        self
    }

    /// Asserts that an error message speaks of each of these, in any case of letters.
    #[track_caller]
    pub(crate) fn complains<'a>(self, of: impl IntoIterator<Item = &'a str>) -> Ran {
        let said = self.stderr.to_lowercase();
        for word in of {
            assert!(
                said.contains(&word.to_lowercase()),
                "no {word:?} in what was said by {self}"
            );
        }
        assert!(
            !said.contains("panicked at"),
            "a panic is no error message: {self}"
        );
        self
    }

    /// Standard output without white space at its ends.
    pub(crate) fn text(&self) -> &str {
        self.stdout.trim()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n  ended: {} after {:?}\n  stdout: {}\n  stderr: {}",
            self.command,
            self.status,
            self.took,
            self.stdout.trim_end().replace('\n', "\n          "),
            self.stderr.trim_end().replace('\n', "\n          "),
        )
    }
}

/// Runs a command to its end with nothing on its standard input.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    run_with_input(command, b"")
}

/// Runs a command to its end with `input` on its standard input.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let shown = format!("{command:?}");
    command
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("start {shown}: {e}"));
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A command that ends without reading closes the pipe: that is its right.
        thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, start, &shown);
    let took = start.elapsed();
    let text = |from: Receiver<Vec<u8>>, name: &str| {
        let bytes = from.recv_timeout(DRAIN).unwrap_or_else(|_| {
            panic!("{shown} ended ({status}), but something it left still holds its {name}")
        });
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (
        text(stdout, "standard output"),
        text(stderr, "standard error"),
    );
    Ran {
        command: shown,
        status,
        stdout,
        stderr,
        took,
    }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still shown.
            let _ = stream.read_to_end(&mut bytes);
        }
        // Nobody waits any more if the command was given up.
        let _ = sender.send(bytes);
    });
    receiver
}

#[track_caller]
fn wait(child: &mut Child, start: Instant, shown: &str) -> ExitStatus {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().expect("wait for our own child") {
            return status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown} did not end within {LIMIT:?}; killed");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
