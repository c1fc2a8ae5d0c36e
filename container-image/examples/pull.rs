//! Pulls an image into a directory: `pull <directory> <image>`.
#![allow(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use container_image::layer::Direct;
use container_image::registry::{Progress, PullOptions, Registry};
use container_image::store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(image)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pull <directory> <image>".into());
    };
    let store = Store::open(Path::new(&directory), Arc::new(Direct))?;
    let registry = Registry::builder().build();
    let pulled = registry
        .pull(
            &store,
            &image.parse()?,
            &PullOptions::default(),
            |progress| {
                if !matches!(progress, Progress::Downloading { .. }) {
                    println!("{progress:?}");
                }
            },
        )
        .await?;
    println!("Digest: {}", pulled.digest);
    println!("Image: {}", pulled.image.id);
    Ok(())
}
