//! Starts containers and holds them until it is told to end, or killed: `hold DIRECTORY COUNT`.
//! However it ends, its containers end with it.
#![allow(clippy::print_stdout)]

use std::io::Read;
use std::path::Path;

use container_core::Engine;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: hold DIRECTORY COUNT".into());
    };
    let directory = Path::new(&directory);
    let engine = Engine::builder()
        .root(directory.join("root"))
        .run_root(directory.join("run"))
        .open()?;
    let mut held = Vec::new();
    for _ in 0..count.parse::<usize>()? {
        held.push(
            engine
                .container("host")
                .args(["sleep", "100000"])
                .start()
                .await?,
        );
    }
    println!("holding {}", held.len());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
