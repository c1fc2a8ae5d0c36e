//! The library without async: [`Block::block`] in the place of `.await`.
//!
//! ```no_run
//! use container_core::blocking::Block;
//! use container_core::{Engine, Result};
//!
//! fn main() -> Result<()> {
//!     let engine = Engine::open()?;
//!     let output = engine.container("host").args(["echo", "hello"]).output().block()?;
//!     print!("{}", String::from_utf8_lossy(&output.stdout));
//!     Ok(())
//! }
//! ```
//!
//! There are no other types than the async ones: every method that is `async` can be blocked on,
//! and a handle may be used in both ways, from any thread. What several calls are to share a
//! deadline, or to run at once, goes into one block:
//!
//! ```no_run
//! # use container_core::blocking::Block;
//! # use container_core::{Engine, Error};
//! # fn main() -> Result<(), Error> {
//! # let engine = Engine::open()?;
//! let (db, cache) = async {
//!     tokio::try_join!(
//!         engine.container("postgres:16").start(),
//!         engine.container("redis:7").start(),
//!     )
//! }
//! .block()?;
//! # Ok(()) }
//! ```
//!
//! The futures run on a runtime of the library's own, which has no thread: whoever blocks drives
//! it. In a thread that belongs to a tokio runtime, where blocking on another is a panic, a thread
//! is borrowed for the call; that runtime's thread stands still meanwhile, as with any other call
//! that blocks.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// Waits for a future of this library by blocking the thread.
pub trait Block {
    /// What the future gives.
    type Output;

    /// Waits for it.
    ///
    /// # Errors
    /// The future's own; there are no descriptors or threads left to run it with.
    fn block(self) -> Self::Output;
}

impl<F, T, E> Block for F
where
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: From<Error> + Send,
{
    type Output = Result<T, E>;

    fn block(self) -> Result<T, E> {
        let runtime = runtime()?;
        if Handle::try_current().is_err() {
            return runtime.block_on(self);
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("container-blocking".into())
                .spawn_scoped(scope, || {
                    // The embedder's signal handlers are none of this thread's business.
                    _ = nix::sys::signal::SigSet::all().thread_block();
                    runtime.block_on(self)
                })
                .map_err(Error::system("start a thread"))?;
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("make a runtime"))?;
    // Of two that are made at once, one is dropped.
    Ok(RUNTIME.get_or_init(|| runtime))
}
