//! An attached `run`: its terminal, its signals, its streams.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::Stage;

const LIMIT: Duration = Duration::from_secs(60);

/// A terminal with our program on its other side.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    seen: String,
}

impl Terminal {
    fn new() -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let master = master.unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        Terminal {
            master,
            slave,
            seen: String::new(),
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    fn types(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    /// Waits until the terminal has shown `text` after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(
                Instant::now() < end,
                "no {text:?} on the terminal: {:?}",
                self.seen
            );
            let mut buffer = [0; 4096];
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(read) => self.seen += &String::from_utf8_lossy(&buffer[..read]),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn start(&self, stage: &Stage, arguments: &[&str]) -> Child {
        let side = || Stdio::from(self.slave.try_clone().unwrap());
        let mut command = stage.mini_docker(arguments);
        let command = command.stdin(side()).stdout(side()).stderr(side());
        command.spawn().unwrap()
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn the_terminal_is_the_containers_while_it_runs() {
    for stage in Stage::each() {
        let mut terminal = Terminal::new();
        terminal.resize(33, 101);
        assert!(!terminal.is_raw());
        let mut child = terminal.start(&stage, &["run", "--rm", "-it", "host", "sh"]);
        terminal.types("stty size; tty; echo ready-$((1+1))\n");
        terminal.shows("33 101");
        terminal.shows("ready-2");
        assert!(terminal.is_raw());
        terminal.resize(44, 120);
        signal(&child, Signal::WINCH);
        // The signal and what is typed race: ask until the size is there.
        terminal.types("until stty size | grep '44 120'; do sleep 0.1; done; echo r-$((2+2))\n");
        terminal.shows("r-4");
        // ^C is the container's, not ours.
        terminal.types("sleep 1000; echo code-$?\n");
        std::thread::sleep(Duration::from_millis(300));
        terminal.types("\x03");
        terminal.types("echo still-$((1+2))\n");
        terminal.shows("still-3");
        terminal.types("exit 5\n");
        assert_eq!(child.wait().unwrap().code(), Some(5));
        assert!(!terminal.is_raw());
    }
}

#[test]
fn a_signal_brings_the_terminal_back() {
    let stage = Stage::new();
    let mut terminal = Terminal::new();
    let mut child = terminal.start(&stage, &["run", "--rm", "-it", "host", "sh"]);
    terminal.types("echo ready-$((1+1))\n");
    terminal.shows("ready-2");
    assert!(terminal.is_raw());
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(!terminal.is_raw());
}

#[test]
fn an_interactive_terminal_needs_one_on_standard_input() {
    let stage = Stage::new();
    stage
        .run(["run", "--rm", "-it", "host", "true"])
        .exits(1)
        .prints("")
        .complains(["the input device is not a TTY"]);
}

#[test]
fn signals_are_forwarded() {
    let stage = Stage::new();
    for (sent, code) in [(Signal::INT, 3), (Signal::TERM, 4), (Signal::USR1, 5)] {
        let script = "trap 'exit 3' INT; trap 'exit 4' TERM; trap 'exit 5' USR1; echo ready; \
                      while :; do sleep 0.1; done";
        let mut child = stage
            .mini_docker(["run", "--rm", "host", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        signal(&child, sent);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{sent:?}");
    }
}

#[test]
fn standard_input_is_given_only_when_asked_for() {
    let stage = Stage::new();
    let input = b"typed\n";
    stage
        .run_with_input(["run", "--rm", "host", "cat"], input)
        .ok()
        .prints("");
    stage
        .run_with_input(["run", "--rm", "-i", "host", "cat"], input)
        .ok()
        .prints("typed\n");
}

#[test]
fn exit_codes_are_dockers() {
    for stage in Stage::each() {
        stage
            .run([
                "run",
                "--rm",
                "host",
                "sh",
                "-c",
                "echo o; echo e >&2; exit 7",
            ])
            .exits(7)
            .prints("o\n");
        stage
            .run(["run", "--rm", "--init", "host", "sh", "-c", "kill -KILL $$"])
            .exits(137)
            .prints("");
        stage
            .run(["run", "--rm", "host", "no-such-command"])
            .exits(127)
            .prints("");
        stage
            .run(["run", "--rm", "host", "/etc/passwd"])
            .exits(126)
            .prints("");
        stage
            .run(["run", "--rm", "--no-such-flag", "host", "true"])
            .exits(125)
            .prints("");
        stage
            .run(["run", "--rm", "--pull", "never", "no-such-image"])
            .exits(125)
            .prints("");
    }
}

#[test]
fn a_container_in_the_background_says_its_id() {
    let stage = Stage::new();
    let file = stage.dir().join("cid");
    let cid = format!("--cidfile={}", file.display());
    let ran = stage
        .run(["run", "-d", "--rm", &cid, "host", "sleep", "0.2"])
        .ok();
    let id = ran.stdout.trim_end();
    assert_eq!(id.len(), 64);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    stage
        .run(["run", "--rm", &cid, "host", "true"])
        .exits(125)
        .complains(["container ID file found"]);
    std::fs::remove_file(&file).unwrap();
    stage
        .run(["run", "--rm", &cid, "host", "no-such-command"])
        .exits(127);
    assert!(
        !file.exists(),
        "a container that did not start leaves no id file"
    );
}

const DETACH: &str = "\x10\x11";

/// Ends a detached container by attaching to it once more.
fn end(stage: &Stage, name: &str) {
    let mut terminal = Terminal::new();
    terminal.resize(20, 50);
    let mut child = terminal.start(stage, &["attach", name]);
    terminal.types("stty size; exit 4\n");
    terminal.shows("20 50");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(!terminal.is_raw());
    stage.run(["rm", name]).ok();
}

#[test]
fn the_keys_detach_and_the_container_goes_on() {
    for stage in Stage::each() {
        let mut terminal = Terminal::new();
        let mut child = terminal.start(&stage, &["run", "-it", "--name", "one", "host", "sh"]);
        terminal.types("echo ready-$((1+1))\n");
        terminal.shows("ready-2");
        terminal.types("\x10");
        terminal.types("\x11");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(!terminal.is_raw());
        stage
            .run(["ps", "--format", "{{.Names}}"])
            .ok()
            .prints("one\n");

        // Attached again, and detached by other keys: the usual ones are the container's then.
        let keys = ["attach", "--detach-keys", "ctrl-a,b", "one"];
        let mut child = terminal.start(&stage, &keys);
        terminal.types("echo again-$((1+2))\n");
        terminal.shows("again-3");
        terminal.types("cat\n");
        terminal.types("x\x10\x01y\n");
        terminal.shows("x^P^Ay");
        terminal.types("\x01b");
        assert_eq!(child.wait().unwrap().code(), Some(1));
        terminal.shows("read escape sequence");
        assert!(!terminal.is_raw());

        // What was typed and shown is in the log; nothing of it is lost between attachments.
        let logged = stage.run(["logs", "one"]).ok();
        for text in ["ready-2\r\n", "again-3\r\n", "x^P^Ay\r\n"] {
            assert!(logged.stdout.contains(text), "{text:?} in {logged}");
        }
        let mut child = terminal.start(&stage, &["attach", "one"]);
        // Until the terminal is raw it would take control characters for itself.
        terminal.types("z\n");
        terminal.shows("z\r\nz\r\n");
        terminal.types("\x04");
        terminal.types(DETACH);
        assert_eq!(child.wait().unwrap().code(), Some(1));
        end(&stage, "one");
    }
}

#[test]
fn a_further_process_is_detached_from() {
    let stage = Stage::new();
    stage
        .run(["run", "-d", "--name", "one", "host", "sleep", "1000"])
        .ok();
    let mut terminal = Terminal::new();
    let mut child = terminal.start(&stage, &["exec", "-it", "one", "sh"]);
    terminal.types("sleep 4242 & echo ready-$((1+1))\n");
    terminal.shows("ready-2");
    assert!(terminal.is_raw());
    terminal.types(DETACH);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    terminal.shows("read escape sequence");
    assert!(!terminal.is_raw());
    let running = stage.run(["top", "one"]).ok();
    assert!(running.stdout.contains("sleep 4242"), "{running}");
    stage
        .run(["exec", "--detach-keys", "foo", "one", "true"])
        .complains(["Invalid detach keys (foo) provided"]);
    stage.run(["rm", "-f", "one"]).ok();
}

#[test]
fn started_on_a_terminal_again() {
    let stage = Stage::new();
    stage
        .run(["create", "-it", "--name", "one", "host", "sh"])
        .ok();
    for code in [3, 4] {
        let mut terminal = Terminal::new();
        terminal.resize(33, 101);
        let mut child = terminal.start(&stage, &["start", "-ai", "one"]);
        terminal.types("until stty size | grep '33 101'; do sleep 0.1; done; echo r-$((1+1))\n");
        terminal.shows("r-2");
        assert!(terminal.is_raw());
        terminal.types(&format!("exit {code}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(!terminal.is_raw());
    }
    stage.run(["rm", "one"]).ok();
}

#[test]
fn two_see_the_same_terminal() {
    let stage = Stage::new();
    let mut first = Terminal::new();
    let mut child = first.start(&stage, &["run", "-it", "--name", "one", "host", "sh"]);
    first.types("echo ready-$((1+1))\n");
    first.shows("ready-2");
    let mut second = Terminal::new();
    let mut other = second.start(&stage, &["attach", "one"]);
    // Who comes later sees what comes later.
    second.types("echo both-$((1+1))\n");
    second.shows("both-2");
    first.shows("both-2");
    first.types("exit 6\n");
    assert_eq!(child.wait().unwrap().code(), Some(6));
    assert_eq!(other.wait().unwrap().code(), Some(6));
    assert!(!first.is_raw() && !second.is_raw());
    stage.run(["rm", "one"]).ok();
}

#[test]
fn a_signal_ends_an_attachment_not_the_container() {
    let stage = Stage::new();
    stage
        .run(["run", "-dit", "--name", "one", "host", "sh"])
        .ok();
    let mut terminal = Terminal::new();
    let mut child = terminal.start(&stage, &["attach", "one"]);
    terminal.types("echo ready-$((1+1))\n");
    terminal.shows("ready-2");
    assert!(terminal.is_raw());
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(!terminal.is_raw());
    end(&stage, "one");
}

#[test]
fn signals_are_proxied_by_attach_too() {
    let stage = Stage::new();
    let script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done";
    for proxy in [true, false] {
        stage
            .run(["run", "-d", "--name", "one", "host", "sh", "-c", script])
            .ok();
        stage.run(["logs", "-f", "--until", "-1s", "one"]).ok();
        let flag = format!("--sig-proxy={proxy}");
        let mut child = stage
            .mini_docker(["attach", &flag, "one"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has to be attached before it can pass anything on.
        std::thread::sleep(Duration::from_millis(700));
        signal(&child, Signal::USR1);
        let status = child.wait().unwrap();
        if proxy {
            assert_eq!(status.code(), Some(5));
            stage.run(["rm", "one"]).ok();
        } else {
            assert_eq!(status.code(), None, "it is ended by the signal itself");
            stage.run(["rm", "-f", "one"]).ok();
        }
    }
}
