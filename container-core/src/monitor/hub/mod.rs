//! The streams of a container. What it writes goes into its log and to everybody who is attached;
//! what they type goes to it.
//!
//! Nothing here waits. Who is attached and does not read makes the container wait, as with
//! Docker, once [`PATIENCE`] bytes are on their way to him; who is gone is forgotten.

mod client;
mod farewell;
mod input;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::job::{Attach, News};
use crate::container::ExitStatus;
use crate::log::{LogStream, Stamp, Writer};
use crate::runtime;
use crate::wire::Channel;

use client::Client;
use input::Input;

/// Bytes on their way to one who is attached.
const PATIENCE: usize = 1 << 20;
/// What is read at once from a stream that says little.
const SMALL: usize = 64 << 10;
/// And from one that says much, through a pipe that is as large as the kernel allows.
const LARGE: usize = 256 << 10;
const PIPE: usize = 1 << 20;
/// Of what a container has written in its last moment: more than any pipe holds.
const LAST: usize = 4 << 20;

/// Everything that is connected with a container's streams.
#[derive(Debug)]
pub(super) struct Hub {
    writer: Writer,
    outputs: Vec<Output>,
    input: Option<Input>,
    clients: Vec<Client>,
    /// Those who were attached to a run that has ended.
    leaving: Vec<Channel>,
    /// Processes that deliver what is late.
    farewells: Vec<i32>,
    buffer: Vec<u8>,
    /// It has used much memory since it was asked.
    worked: bool,
}

/// Something that a container writes to.
#[derive(Debug)]
struct Output {
    /// None at its end.
    fd: Option<OwnedFd>,
    stream: LogStream,
    terminal: bool,
    /// Its pipe was made large.
    large: bool,
}

/// Something that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Log,
    Output(usize),
    Input,
    /// A client types.
    Typing(usize),
    /// A client reads, by which of its descriptors.
    Sink(usize, usize),
    /// A client goes away.
    Client(usize),
}

impl Hub {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            outputs: Vec::new(),
            input: None,
            clients: Vec::new(),
            leaving: Vec::new(),
            farewells: Vec::new(),
            buffer: Vec::new(),
            worked: false,
        }
    }

    /// Adds a stream and returns the end that the container writes to.
    pub(super) fn output(&mut self, stream: LogStream) -> io::Result<OwnedFd> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Our end only: a pipe's ends have their own flags.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        self.outputs.push(Output {
            fd: Some(read),
            stream,
            terminal: false,
            large: false,
        });
        Ok(write)
    }

    /// Makes the container's input and returns the end that it reads from. With `once` it ends
    /// with that of the first who types.
    pub(super) fn input(&mut self, once: bool) -> io::Result<OwnedFd> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
        self.input = Some(Input::pipe(write, once));
        Ok(read)
    }

    /// Takes the container's terminal; `open` when it may be typed into.
    pub(super) fn terminal(&mut self, master: OwnedFd, open: bool) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&master, true)?;
        self.input = Some(Input::terminal(master.try_clone()?, open));
        self.outputs.push(Output {
            fd: Some(master),
            stream: LogStream::Stdout,
            terminal: true,
            large: false,
        });
        Ok(())
    }

    /// Sets the size of the container's terminal.
    pub(super) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        match &self.input {
            Some(input) if input.is_terminal() => runtime::terminal::resize(input, rows, columns),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Attaches somebody. The descriptors are as the request says.
    pub(super) fn attach(&mut self, channel: Channel, attach: Attach, fds: Vec<OwnedFd>) {
        let mut client = Client::new(channel, attach, fds);
        if self.input.as_ref().is_none_or(|input| !input.is_open()) {
            client.stdin = None;
        }
        self.clients.push(client);
    }

    /// What is to be waited for.
    pub(super) fn waits(&self) -> Vec<(Wait, BorrowedFd<'_>, PollFlags)> {
        let mut waits = Vec::new();
        for (fd, flags) in self.writer.descriptors() {
            waits.push((Wait::Log, fd, flags));
        }
        for (number, output) in self.outputs.iter().enumerate() {
            if let Some(fd) = &output.fd
                && !self.is_congested(output.stream)
            {
                waits.push((Wait::Output(number), fd.as_fd(), PollFlags::IN));
            }
        }
        let full = match &self.input {
            // Its end is told in any case.
            Some(input) if !input.is_terminal() || input.is_full() => {
                let flags = match input.is_full() {
                    true => PollFlags::OUT,
                    false => PollFlags::empty(),
                };
                waits.push((Wait::Input, input.as_fd(), flags));
                input.is_full()
            }
            _ => false,
        };
        for (number, client) in self.clients.iter().enumerate() {
            waits.push((Wait::Client(number), client.channel.as_fd(), PollFlags::IN));
            if let Some(stdin) = client.stdin.as_ref().filter(|_| !full) {
                waits.push((Wait::Typing(number), stdin.as_fd(), PollFlags::IN));
            }
            for (at, sink) in client.sinks.iter().enumerate() {
                if let Some(fd) = sink.waits() {
                    waits.push((Wait::Sink(number, at), fd, PollFlags::OUT));
                }
            }
        }
        waits
    }

    fn is_congested(&self, stream: LogStream) -> bool {
        let slow = |client: &Client| client.queued(stream) > PATIENCE;
        self.writer.is_congested() || self.clients.iter().any(slow)
    }

    /// Deals with what has happened.
    pub(super) fn turn(&mut self, happened: impl IntoIterator<Item = (Wait, PollFlags)>) {
        for (wait, flags) in happened {
            match wait {
                _ if flags.is_empty() => {}
                Wait::Log => self.writer.turn(),
                Wait::Output(number) => _ = self.read(number),
                Wait::Input => self.go_on_typing(flags),
                Wait::Typing(number) => self.typed(number),
                Wait::Sink(number, at) => self.clients[number].sinks[at].turn(),
                Wait::Client(number) => {
                    if self.clients[number].channel.is_closed() {
                        self.clients[number].gone = true;
                    }
                }
            }
        }
        self.outputs.retain(|output| output.fd.is_some());
        // Whoever typed and is gone types no more.
        if self
            .clients
            .iter()
            .any(|client| client.gone && client.stdin.is_some())
        {
            self.input_ended();
        }
        self.clients.retain(|client| !client.gone);
    }

    /// Reads some output and passes it on. Returns how much; none at the end or when there is
    /// none for now.
    fn read(&mut self, number: usize) -> usize {
        let output = &mut self.outputs[number];
        let Some(fd) = &output.fd else { return 0 };
        let size = if output.large { LARGE } else { SMALL };
        self.buffer.resize(size, 0);
        let mut length = 0;
        let mut end = false;
        loop {
            match rustix::io::read(fd, &mut self.buffer[length..]) {
                Ok(0) => end = true,
                Ok(read) => {
                    length += read;
                    // A terminal gives 4 KiB at most.
                    if output.terminal && length < size {
                        continue;
                    }
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {}
                // From a terminal's master, its end: nobody has the other side open.
                Err(_) => end = true,
            }
            break;
        }
        if end {
            output.fd = None;
        } else if length == size && !output.large && !output.terminal {
            // Beyond the user's share of the kernel's memory it stays as it is.
            _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE);
            output.large = true;
            self.worked = true;
        }
        let stream = output.stream;
        self.pass_on(stream, length);
        if length < SMALL && self.buffer.capacity() > SMALL {
            self.buffer = Vec::new();
        }
        length
    }

    fn pass_on(&mut self, stream: LogStream, length: usize) {
        let bytes = &self.buffer[..length];
        if bytes.is_empty() {
            return;
        }
        for client in &mut self.clients {
            if let Some(sink) = client.sink(stream) {
                sink.write(bytes);
            }
        }
        self.writer.write(stream, bytes, Stamp::now());
    }

    /// Somebody has typed, or his input has ended.
    fn typed(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let (Some(stdin), Some(input)) = (&client.stdin, &mut self.input) else {
            client.stdin = None;
            return;
        };
        match input.take(stdin) {
            Ok(0) => {
                client.stdin = None;
                // What is still on its way into the container is ours to deliver.
                _ = client.channel.send(&News::Done, &[]);
                self.input_ended();
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.input = None,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => client.stdin = None,
        }
    }

    fn input_ended(&mut self) {
        if self.input.as_mut().is_some_and(Input::source_ended) {
            self.input = None;
        }
    }

    fn go_on_typing(&mut self, flags: PollFlags) {
        let Some(input) = &mut self.input else { return };
        // An error: nobody has the other end open.
        if flags.contains(PollFlags::ERR) || input.go_on().is_err() {
            self.input = None;
        }
    }

    /// The first process has ended: passes on what it has written last.
    pub(super) fn finish(&mut self) {
        for number in 0..self.outputs.len() {
            // Processes that are left, in another PID namespace, may go on writing.
            let mut most = LAST;
            while most > 0 {
                match self.read(number) {
                    0 => break,
                    length => most = most.saturating_sub(length),
                }
            }
        }
        self.outputs.clear();
        self.input = None;
        self.writer.finish(Stamp::now());
        self.farewells
            .retain(|pid| runtime::try_wait(*pid).is_none());
        for client in self.clients.drain(..) {
            let farewells = client.sinks.into_iter().filter_map(farewell::hand_over);
            self.farewells.extend(farewells);
            self.leaving.push(client.channel);
        }
        self.buffer = Vec::new();
    }

    /// Tells those who were attached how it ended.
    pub(super) fn tell(&mut self, exit: &ExitStatus) {
        for channel in self.leaving.drain(..) {
            _ = channel.send(&News::Exited(exit.clone()), &[]);
        }
    }

    /// Whether there is memory to give back since this was last asked.
    pub(super) fn has_worked(&mut self) -> bool {
        std::mem::take(&mut self.worked)
    }
}
