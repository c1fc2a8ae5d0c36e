//! Tests of a program that needs a server, as a test suite has them:
//! `cargo run --example harness -- redis:7 [DIRECTORY]`.
//!
//! In a suite each of the functions below would be a `#[test]`. None needs a port of the machine,
//! none sees another's server, and nothing is left when one of them fails or is killed.
#![allow(
    clippy::print_stdout,
    reason = "an example of a program, and programs print"
)]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use container_core::blocking::Block;
use container_core::ready::{Log, Ready};
use container_core::{Container, Engine};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// A server for one test. It goes with this value.
struct Redis(Container);

impl Redis {
    fn start(engine: &Engine, image: &str) -> container_core::Result<Self> {
        let up = Ready::all([
            Log::new("Ready to accept connections").into(),
            Ready::tcp(6379),
        ]);
        let container = engine
            .container(image)
            .args(["redis-server", "--save", ""])
            .ready(up.within(Duration::from_secs(30)))
            .start()
            .block()?;
        Ok(Self(container))
    }

    /// Asks over a connection of the container's own network, which has no other way in.
    fn ask(&self, command: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let mut stream = self.0.dial(6379).block()?.into_std()?;
        stream.set_nonblocking(false)?;
        writeln!(stream, "{command}\r")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

fn counts(engine: &Engine, image: &str) -> Outcome {
    let redis = Redis::start(engine, image)?;
    assert_eq!(redis.ask("INCR visits")?, ":1");
    assert_eq!(redis.ask("INCR visits")?, ":2");
    // The same from inside.
    let get = redis.0.exec(["redis-cli", "GET", "visits"]);
    let said = get.timeout(Duration::from_secs(10)).output().block()?;
    assert_eq!(said.stdout, b"2\n");
    Ok(())
}

fn everybody_has_their_own(engine: &Engine, image: &str) -> Outcome {
    let (one, two) = (Redis::start(engine, image)?, Redis::start(engine, image)?);
    one.ask("SET whose one")?;
    assert_eq!(two.ask("GET whose")?, "$-1");
    Ok(())
}

fn what_goes_wrong_says_why(engine: &Engine, image: &str) -> Outcome {
    let start = engine
        .container(image)
        .args(["redis-server", "--port", "none"])
        .ready(Ready::tcp(6379))
        .start();
    // It does not take the deadline to find out.
    let Err(container_core::Error::NotReady(not)) = start.block() else {
        return Err("it should not start".into());
    };
    assert!(not.exit.is_some() && not.log.contains("port"), "{not}");
    Ok(())
}

fn one_for_all_runs(engine: &Engine, image: &str) -> Outcome {
    let start = || {
        let server = engine.container(image).args(["redis-server", "--save", ""]);
        server.ready(Ready::tcp(6379)).reuse(true).start().block()
    };
    let first = start()?;
    // Another test, or the next run of the suite.
    let again = start()?;
    assert_eq!(first.id(), again.id());
    again.remove(true).block()?;
    Ok(())
}

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let image = words.next().ok_or("usage: harness IMAGE [DIRECTORY]")?;
    let engine = match words.next() {
        None => Engine::open()?,
        Some(directory) => Engine::builder()
            .root(format!("{directory}/root"))
            .run_root(format!("{directory}/run"))
            .open()?,
    };
    type Test = fn(&Engine, &str) -> Outcome;
    let tests: [(&str, Test); 4] = [
        ("counts", counts),
        ("everybody has their own", everybody_has_their_own),
        ("what goes wrong says why", what_goes_wrong_says_why),
        ("one for all runs", one_for_all_runs),
    ];
    for (name, test) in tests {
        test(&engine, &image)?;
        println!("{name}: ok");
    }
    Ok(())
}
