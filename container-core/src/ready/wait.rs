//! Waiting until a condition is met.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, watch};

use super::log::{LAST_LINES, Matcher, Tail};
use super::pause::Pause;
use super::{Condition, DEFAULT_DEADLINE, Http, Log, NotReady, Ready, What, http};
use crate::container::{Container, ExitStatus};
use crate::error::{Error, Result};
use crate::log::LogOptions;
use crate::runtime::Errand;
use crate::state::{HealthStatus, Watch};

/// What a command may write; it is read for the error only.
const COMMAND_OUTPUT: usize = 64 << 10;

/// How long reading them may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Waits until the container is ready, it has ended or the time is up.
pub(crate) async fn wait(container: &Container, ready: &Ready) -> Result<()> {
    ready.check()?;
    let mut leaves = Vec::new();
    let tree = Node::new(ready, &mut leaves);
    let (sender, log) = watch::channel(Progress::new(&leaves));
    let waiting = Waiting {
        container,
        leaves,
        end: OnceCell::new(),
        log,
        tail: Mutex::default(),
    };
    let start = Instant::now();
    let deadline = tokio::time::sleep(ready.within.unwrap_or(DEFAULT_DEADLINE));
    let mut following = std::pin::pin!(waiting.follow(&sender));
    let met = tokio::select! {
        biased;
        met = waiting.met(&tree) => met?,
        failed = &mut following => return Err(failed),
        () = deadline => false,
    };
    if met {
        return Ok(());
    }
    let waited = start.elapsed();
    if waiting.end.initialized() {
        // Its last words, for the error.
        let mut log = waiting.log.clone();
        tokio::select! {
            biased;
            _ = log.wait_for(|progress| progress.over) => {}
            failed = following => return Err(failed),
            () = tokio::time::sleep(LAST_WORDS) => {}
        }
    }
    Err(Error::NotReady(Box::new(waiting.why(waited))))
}

/// The conditions as a tree whose leaves have numbers.
#[derive(Debug)]
enum Node {
    Leaf(usize),
    All(Vec<(Node, Option<Duration>)>),
    Any(Vec<(Node, Option<Duration>)>),
}

impl Node {
    fn new<'a>(ready: &'a Ready, leaves: &mut Vec<Leaf<'a>>) -> Self {
        let mut parts = |parts: &'a [Ready]| {
            let part = |part: &'a Ready| (Self::new(part, leaves), part.within);
            parts.iter().map(part).collect()
        };
        match &ready.what {
            What::All(all) => Self::All(parts(all)),
            What::Any(any) => Self::Any(parts(any)),
            What::One(condition) => {
                leaves.push(Leaf {
                    condition,
                    standing: Mutex::default(),
                });
                Self::Leaf(leaves.len() - 1)
            }
        }
    }
}

#[derive(Debug)]
struct Leaf<'a> {
    condition: &'a Condition,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    met: bool,
    /// What was found when it was last looked.
    note: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the log has come.
#[derive(Debug)]
struct Progress {
    /// Lines seen, by the number of the leaf.
    seen: Vec<u32>,
    /// There will be no more.
    over: bool,
}

impl Progress {
    fn new(leaves: &[Leaf<'_>]) -> Self {
        Self {
            seen: vec![0; leaves.len()],
            over: false,
        }
    }
}

struct Waiting<'a> {
    container: &'a Container,
    leaves: Vec<Leaf<'a>>,
    end: OnceCell<ExitStatus>,
    log: watch::Receiver<Progress>,
    tail: Mutex<Tail>,
}

/// Whether something is met; false when it cannot be any more.
type Met<'a> = Pin<Box<dyn Future<Output = Result<bool>> + Send + 'a>>;

impl Waiting<'_> {
    fn met<'a>(&'a self, node: &'a Node) -> Met<'a> {
        let parts = |parts: &'a [(Node, Option<Duration>)]| {
            let part = |(part, within): &'a (Node, Option<Duration>)| match within {
                None => self.met(part),
                Some(within) => Box::pin(async {
                    let met = tokio::time::timeout(*within, self.met(part)).await;
                    met.unwrap_or(Ok(false))
                }),
            };
            parts.iter().map(part).collect::<Vec<_>>()
        };
        match node {
            Node::All(all) => Box::pin(until(false, parts(all))),
            Node::Any(any) => Box::pin(until(true, parts(any))),
            Node::Leaf(number) => Box::pin(self.leaf(*number)),
        }
    }

    async fn leaf(&self, number: usize) -> Result<bool> {
        let leaf = &self.leaves[number];
        let looking = async {
            match leaf.condition {
                Condition::Log(log) => self.log(number, log).await,
                Condition::Exit(code) => {
                    let exit = self.ended().await?;
                    Ok(code.is_none_or(|code| code == exit.code))
                }
                Condition::Tcp(port) => self.tcp(leaf, *port).await,
                Condition::Http(http) => self.http(leaf, http).await,
                Condition::Healthy => self.healthy(leaf).await,
                Condition::Command(args) => self.command(leaf, args).await,
                Condition::Socket(path) => self.socket(leaf, path).await,
            }
        };
        let met = match leaf.condition {
            // What it wrote before its end counts.
            Condition::Log(_) | Condition::Exit(_) => looking.await?,
            _ => tokio::select! {
                biased;
                met = looking => met?,
                ended = self.ended() => ended.map(|_| false)?,
            },
        };
        locked(&leaf.standing).met = met;
        Ok(met)
    }

    /// Waits for the end of the container.
    async fn ended(&self) -> Result<&ExitStatus> {
        self.end.get_or_try_init(|| self.container.end()).await
    }

    async fn log(&self, number: usize, log: &Log) -> Result<bool> {
        let mut progress = self.log.clone();
        let decided = |progress: &Progress| progress.over || progress.seen[number] >= log.times;
        // The sender lives as long as this.
        let seen = match progress.wait_for(decided).await {
            Ok(progress) => progress.seen[number],
            Err(_) => 0,
        };
        Ok(seen >= log.times)
    }

    async fn tcp(&self, leaf: &Leaf<'_>, port: u16) -> Result<bool> {
        let mut pause = Pause::new(1, 50);
        loop {
            match self.container.listening(port) {
                Ok(Some(addresses)) if !addresses.is_empty() => return Ok(true),
                Ok(Some(_)) => leaf.note("nobody listens"),
                // It cannot be looked at: it has to be tried.
                Ok(None) => match self.container.dial(port).await {
                    Ok(_) => return Ok(true),
                    Err(e) => leaf.note(e),
                },
                Err(e) => leaf.note(e),
            }
            pause.wait().await;
        }
    }

    async fn http(&self, leaf: &Leaf<'_>, http: &Http) -> Result<bool> {
        let mut pause = Pause::new(2, 200);
        loop {
            match self.container.dial(http.port).await {
                Ok(stream) => match http::ask(stream, http).await {
                    Ok(()) => return Ok(true),
                    Err(what) => leaf.note(what),
                },
                Err(Error::Dial { source, .. }) => leaf.note(source),
                Err(e) => leaf.note(e),
            }
            pause.wait().await;
        }
    }

    async fn healthy(&self, leaf: &Leaf<'_>) -> Result<bool> {
        let container = self.container;
        loop {
            let watch = Watch::new(&container.engine, &container.id)?;
            match container.inspect() {
                // It is being removed: its end is about to be told.
                Err(e) => leaf.note(e),
                Ok(inspect) if !inspect.state.status.is_live() => {}
                Ok(inspect) => match inspect.state.health {
                    Some(health) if health.status == HealthStatus::Healthy => {
                        // Between two runs it tells of the last.
                        if inspect.state.pid != 0 {
                            return Ok(true);
                        }
                    }
                    Some(health) => {
                        if let Some(last) = health.log.last() {
                            leaf.note(format!(
                                "{}: {}",
                                health.status.as_str(),
                                last.output.trim()
                            ));
                        }
                        if health.status == HealthStatus::Unhealthy {
                            return Ok(false);
                        }
                    }
                    None => {
                        return Err(Error::Setting {
                            setting: "ready",
                            value: "healthy".into(),
                            reason: "the container has no health check".into(),
                        });
                    }
                },
            }
            watch.changed().await?;
        }
    }

    async fn command(&self, leaf: &Leaf<'_>, args: &[String]) -> Result<bool> {
        let mut pause = Pause::new(10, 1000);
        loop {
            let exec = self.container.exec(args).output_limit(COMMAND_OUTPUT);
            match exec.output().await {
                Ok(output) if output.status.success() => return Ok(true),
                Ok(output) => {
                    let said = [output.stderr, output.stdout].concat();
                    let said = String::from_utf8_lossy(&said);
                    let line = said.lines().next().unwrap_or_default();
                    leaf.note(format!("{} {line}", output.status));
                }
                // It will not come to be there.
                Err(e @ (Error::Command { .. } | Error::NoSuchUser { .. })) => return Err(e),
                Err(e) => leaf.note(e),
            }
            pause.wait().await;
        }
    }

    async fn socket(&self, leaf: &Leaf<'_>, path: &str) -> Result<bool> {
        let mut pause = Pause::new(1, 200);
        let errand = Errand::AwaitUnix(path.to_owned());
        leaf.note("it is not there");
        loop {
            match self.container.errand(&errand).await {
                Ok(Ok(_)) => match self.container.listens(path).await {
                    Ok(true) => return Ok(true),
                    Ok(false) => leaf.note("nobody listens"),
                    Err(e) => leaf.note(e),
                },
                Ok(Err(e)) => leaf.note(e),
                // Between two runs.
                Err(e) => leaf.note(e),
            }
            pause.wait().await;
        }
    }

    /// Reads the log as it is written, without end. Returns only to say why it cannot.
    async fn follow(&self, progress: &watch::Sender<Progress>) -> Error {
        let read = self.read(progress).await;
        let asked = |leaf: &Leaf<'_>| matches!(leaf.condition, Condition::Log(_));
        match read {
            // A container that is gone has ended, which is told in its own way.
            Err(e)
                if !matches!(e, Error::NoSuchContainer { .. }) && self.leaves.iter().any(asked) =>
            {
                return e;
            }
            _ => progress.send_modify(|progress| progress.over = true),
        }
        std::future::pending().await
    }

    async fn read(&self, progress: &watch::Sender<Progress>) -> Result<()> {
        let follow = LogOptions::new().follow(true);
        let mut reader = self.container.logs(follow).await?;
        let mut matchers = self.matchers();
        let held = self.container.is_held();
        loop {
            let line = tokio::select! {
                biased;
                line = reader.next() => line?,
                ended = self.ended(), if held => {
                    ended?;
                    break;
                }
            };
            match line {
                Some(line) => self.seen(line, &mut matchers, progress),
                None => return Ok(()),
            }
        }
        // It has ended, and its log is still there whole: what the reader above has not seen yet
        // may be in files that it does not know of.
        let mut matchers = self.matchers();
        let options = match matchers.is_empty() {
            true => LogOptions::new().tail(LAST_LINES),
            false => LogOptions::new(),
        };
        let mut reader = self.container.logs(options).await?;
        *locked(&self.tail) = Tail::default();
        while let Some(line) = reader.next().await? {
            self.seen(line, &mut matchers, progress);
        }
        Ok(())
    }

    fn matchers(&self) -> Vec<(usize, Matcher<'_>)> {
        let leaves = self.leaves.iter().enumerate();
        leaves
            .filter_map(|(number, leaf)| match leaf.condition {
                Condition::Log(log) => Some((number, Matcher::new(log))),
                _ => None,
            })
            .collect()
    }

    fn seen(
        &self,
        line: crate::log::LogLine,
        matchers: &mut [(usize, Matcher<'_>)],
        progress: &watch::Sender<Progress>,
    ) {
        for (number, matcher) in matchers {
            let before = matcher.seen();
            matcher.add(&line);
            let seen = matcher.seen();
            if seen != before {
                self.leaves[*number].note(match seen {
                    1 => "seen once".to_owned(),
                    seen => format!("seen {seen} times"),
                });
                progress.send_modify(|progress| progress.seen[*number] = seen);
            }
        }
        locked(&self.tail).add(line);
    }

    fn why(&self, waited: Duration) -> NotReady {
        let missing = self.leaves.iter().filter_map(|leaf| {
            let standing = locked(&leaf.standing);
            (!standing.met).then(|| match standing.note.as_str() {
                "" => leaf.condition.to_string(),
                note => format!("{} ({note})", leaf.condition),
            })
        });
        NotReady {
            name: self.container.name.clone(),
            exit: self.end.get().cloned(),
            waited,
            missing: missing.collect(),
            log: locked(&self.tail).text(),
        }
    }
}

impl Leaf<'_> {
    fn note(&self, note: impl ToString) {
        locked(&self.standing).note = note.to_string();
    }
}

/// Waits until one of several is `wanted`; `!wanted` when none has been.
async fn until(wanted: bool, mut parts: Vec<Met<'_>>) -> Result<bool> {
    poll_fn(|context| {
        let mut at = 0;
        while let Some(part) = parts.get_mut(at) {
            match part.as_mut().poll(context) {
                Poll::Ready(Ok(met)) if met != wanted => drop(parts.swap_remove(at)),
                Poll::Ready(decided) => return Poll::Ready(decided),
                Poll::Pending => at += 1,
            }
        }
        match parts.is_empty() {
            true => Poll::Ready(Ok(!wanted)),
            false => Poll::Pending,
        }
    })
    .await
}
