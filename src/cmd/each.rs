//! One verb for several containers, as Docker does it: each is tried, those that it worked for are
//! named on standard output, and what went wrong is told at the end.

use std::rc::Rc;

use container_core::Engine;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// How many containers are worked on at once.
const AT_ONCE: usize = 50;

/// Does something to all at once. They are told of in the order of their names.
pub(super) fn at_once(
    settings: &Settings,
    names: &[String],
    work: impl AsyncFn(&Engine, &str) -> Result<(), Error> + 'static,
) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let work = Rc::new(work);
    let turns = Rc::new(Semaphore::new(AT_ONCE));
    super::runtime()?.block_on(LocalSet::new().run_until(async {
        let tasks = names.iter().map(|name| {
            let (engine, work, turns) = (engine.clone(), work.clone(), turns.clone());
            let name = name.clone();
            tokio::task::spawn_local(async move {
                let _turn = turns.acquire().await;
                work(&engine, &name).await
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut report = Report::default();
        for (name, task) in names.iter().zip(tasks) {
            let result = task.await.map_err(Error::Task)?;
            report.done(result.map(|()| name.clone()))?;
        }
        report.end()
    }))
}

/// Does something to one after the other, and prints what that gives.
pub(super) fn in_turn(
    settings: &Settings,
    names: &[String],
    work: impl AsyncFn(&Engine, &str) -> Result<String, Error>,
) -> Result<u8, Error> {
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let mut report = Report::default();
        for name in names {
            report.done(work(&engine, name).await)?;
        }
        report.end()
    })
}

/// What has become of the containers so far.
#[derive(Default)]
struct Report {
    errors: Vec<Error>,
}

impl Report {
    fn done(&mut self, result: Result<String, Error>) -> Result<(), Error> {
        match result {
            Ok(text) => print::out(&format!("{text}\n")),
            Err(error) => {
                self.errors.push(error);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<u8, Error> {
        for error in &self.errors {
            print::err(&error.text(None));
        }
        Ok(u8::from(!self.errors.is_empty()))
    }
}
