//! Containers that several programs, and several runs of them, use: found by their name.

use std::time::Duration;

use container_image::Digest;

use super::{Container, ContainerBuilder};
use crate::engine::{Base, Engine};
use crate::monitor::client;
use crate::state::{self, Inspect, Status, Watch};
use crate::{Error, Result};

/// The label of containers that are [reused](ContainerBuilder::reuse): a hash of all that was said
/// of them.
pub const REUSE_LABEL: &str = "mini-docker.reuse";

/// A monitor that was killed tells nobody.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How one that was found stands.
enum Found {
    Runs(Container),
    /// It was made and ended, or not started yet.
    Rests(Container),
    /// There is none, or there is none any more.
    None,
}

impl ContainerBuilder {
    pub(super) async fn find_or_start(mut self, image: Base) -> Result<Container> {
        let streams = [
            &self.streams.stdin,
            &self.streams.stdout,
            &self.streams.stderr,
        ];
        if self.attach.is_some() || streams.into_iter().any(Option::is_some) {
            return Err(super::launch::wrong(
                "reuse",
                "a container that others use, too, has no streams of the caller's: attach to it \
                 when it runs",
            ));
        }
        let hash = self.hash(&image)?;
        let name = match self.request.name.take() {
            Some(name) => name,
            None => format!("reuse-{}", &hash[..16]),
        };
        self.request.name = Some(name.clone());
        let labels = &mut self.request.labels;
        labels.insert(REUSE_LABEL.to_owned(), hash.clone());
        let engine = self.engine.clone();
        loop {
            let (container, ours) = match find(&engine, &name, &hash).await? {
                Found::Runs(container) => (container, false),
                Found::Rests(container) => {
                    container.start().await?;
                    (container, true)
                }
                Found::None => match self.fresh().launch(&image).await {
                    // Somebody was quicker.
                    Err(Error::NameInUse { .. }) => continue,
                    Err(e) => return Err(e),
                    Ok(mut container) => {
                        container.detach().await?;
                        return Ok(container);
                    }
                },
            };
            let used = async {
                // Whoever has started it may be gone before he has let it be.
                client::stay(&engine, &container.id).await?;
                match &self.ready {
                    Some(ready) => crate::ready::wait(&container, ready).await,
                    None => Ok(()),
                }
            };
            match used.await {
                Ok(()) => return Ok(container),
                // It has ended meanwhile: the next one is ours.
                Err(e) if !ours && has_ended(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The same, to make one.
    fn fresh(&self) -> Self {
        Self {
            request: self.request.clone(),
            ready: self.ready.clone(),
            ..Self::new(self.engine.clone(), String::new())
        }
    }

    /// Of all that is said of it.
    fn hash(&self, image: &Base) -> Result<String> {
        let image = match image {
            Base::Host => None,
            Base::Image(image) => Some(image.id.to_string()),
        };
        let platform = self.platform.as_ref().map(ToString::to_string);
        let said = serde_json::to_vec(&(&self.request, platform, image));
        let said = said.map_err(|e| Error::system("write down what is asked for")(e.into()))?;
        Ok(Digest::sha256(said).hex().to_owned())
    }
}

fn has_ended(error: &Error) -> bool {
    match error {
        Error::NotReady(not) => not.exit.is_some(),
        Error::NotRunning { .. } | Error::NoSuchContainer { .. } => true,
        _ => false,
    }
}

async fn find(engine: &Engine, name: &str, hash: &str) -> Result<Found> {
    loop {
        let container = match engine.get(name) {
            Err(Error::NoSuchContainer { .. }) => return Ok(Found::None),
            container => container?,
        };
        let watch = Watch::new(engine, &container.id)?;
        let Inspect { record, state } = match container.inspect() {
            Err(Error::NoSuchContainer { .. }) => continue,
            inspect => inspect?,
        };
        if record.request.labels.get(REUSE_LABEL).map(String::as_str) != Some(hash) {
            return Err(Error::Setting {
                setting: "reuse",
                value: name.to_owned(),
                reason: "there is a container of this name that was made otherwise, or of another \
                         image: remove it, or give this one another name"
                    .into(),
            });
        }
        match state.status {
            Status::Running | Status::Restarting => return Ok(Found::Runs(container)),
            Status::Paused => {
                return Err(Error::Paused {
                    id: container.id,
                    action: "using it".into(),
                });
            }
            // It is being started, or about to be gone.
            Status::Created | Status::Exited if state::is_held(&engine.run_dir(&container.id)) => {
                if let Ok(changed) = tokio::time::timeout(LOOK_AGAIN, watch.changed()).await {
                    changed?;
                }
            }
            // Its monitor was killed.
            Status::Created | Status::Exited if record.request.auto_remove => {
                match container.remove(true).await {
                    Ok(()) | Err(Error::NoSuchContainer { .. } | Error::Busy { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
            Status::Created | Status::Exited => return Ok(Found::Rests(container)),
        }
    }
}
