//! Runs a command in a container of an image: `cargo run --example run -- host echo hello`.
#![allow(
    clippy::print_stdout,
    reason = "an example of a program, and programs print"
)]

use container_core::Engine;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let image = words.next().ok_or("usage: run IMAGE [COMMAND] [ARG...]")?;
    let engine = Engine::open()?;
    let output = engine.container(image).args(words).output().await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}
