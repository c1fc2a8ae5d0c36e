//! `commit`: an image of a container's changes.

use std::io::{self, Read};

use container_image::Reference;
use container_image::config::{self, RunConfig};
use container_image::layer::MakeError;
use container_image::store::{Draft, Image, Step, StoreError};
use jiff::Timestamp;

use super::archive::Archive;
use super::copy::cause;
use super::error::FilesError;
use super::task::Errand;
use super::view::View;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::Journal;
use crate::monitor::client::{self, Hold};
use crate::request::{Mount, MountSource, Request};
use crate::state::{Inspect, Record, Status};

/// What an image of a container's changes shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOptions {
    /// Its name, if any.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// Noted in its history.
    pub message: String,
    /// Dockerfile instructions that change what its containers do, as
    /// [`config::apply`](container_image::config::apply) takes them.
    pub changes: Vec<String>,
    /// A running container stands still while its files are read.
    pub pause: bool,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            reference: None,
            author: String::new(),
            message: String::new(),
            changes: Vec::new(),
            pause: true,
        }
    }
}

impl Container {
    /// Makes an image: the container's own, a layer of what it has changed, and what it was asked
    /// for as the configuration. Mounted file systems do not belong to it.
    ///
    /// Nothing of an image is seen before all of it is there.
    ///
    /// # Errors
    /// An instruction is not understood; a `host` container has no image to add to; pausing is
    /// asked for and there is no cgroup to do it with.
    pub async fn commit(&self, options: &CommitOptions) -> Result<Image> {
        let inspect = self.inspect()?;
        let (engine, options) = (self.engine.clone(), options.clone());
        super::blocking(move || commit(&engine, &inspect, &options)).await
    }
}

fn commit(engine: &Engine, inspect: &Inspect, options: &CommitOptions) -> Result<Image> {
    let Inspect { record, state } = inspect;
    let id = record.image.as_ref().ok_or(FilesError::HostImage)?;
    let store = engine.store();
    let base = store.find(id.as_ref())?;
    // From here on it stays.
    let _lease = store.lease(&base)?;
    let mut draft = Draft::on(store, &base)?;
    let own = of_container(&record.request, &draft.run_config()?);
    let changed = changed(&own, &options.changes)?;

    let ingest = store.ingest()?;
    let layer = {
        let running = matches!(state.status, Status::Running);
        let hold = match options.pause && running {
            true => client::hold(engine, &record.id)?,
            false => None,
        };
        let view = View::of_changes(engine, &record.id)?;
        let archive = Archive::new(view.outward(&Errand::Layer)?);
        let mut source = Held { archive, hold };
        let made = ingest.new_layer(&mut source, draft.top());
        made.map_err(nearest)?
    };
    draft.set_run_config(&changed);
    let step = Step {
        created: Timestamp::now(),
        created_by: own.cmd.unwrap_or_default().join(" "),
        author: options.author.clone(),
        comment: options.message.clone(),
    };
    draft.add(&step, layer.as_ref());
    let names: Vec<Reference> = options.reference.iter().cloned().collect();
    let image = draft.commit(&ingest, &names)?;
    tell(engine, record, &image, options);
    Ok(image)
}

/// What a container of an image was asked to do, as Docker's `Config` of a container.
fn of_container(request: &Request, image: &RunConfig) -> RunConfig {
    let own_volume = |mount: &Mount| match &mount.source {
        MountSource::Volume(volume) if volume.name.is_none() => Some(mount.target.clone()),
        _ => None,
    };
    let mut config = RunConfig {
        user: request.user.clone().unwrap_or_default(),
        env: request.env.clone(),
        entrypoint: request.entrypoint.clone(),
        cmd: (!request.args.is_empty()).then(|| request.args.clone()),
        working_dir: request.workdir.clone().unwrap_or_default(),
        labels: request.labels.clone(),
        stop_signal: request.stop_signal.clone().unwrap_or_default(),
        healthcheck: request.healthcheck.clone(),
        volumes: request.mounts.iter().filter_map(own_volume).collect(),
        ..RunConfig::default()
    };
    config.inherit(image);
    config
}

/// The container's configuration with the changes of `-c`. What they take away and do not replace
/// is the container's again.
fn changed(own: &RunConfig, changes: &[String]) -> Result<RunConfig> {
    let mut config = own.clone();
    config::apply(&mut config, changes.iter().map(String::as_str))?;
    config.inherit(own);
    Ok(config)
}

/// A container that stands still until its files are read.
struct Held {
    archive: Archive,
    hold: Option<Hold>,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.archive.read(buffer);
        if !matches!(read, Ok(1..)) {
            // What follows takes its time.
            self.hold = None;
        }
        read
    }
}

/// The worker's error, if it is at the bottom of it.
fn nearest(error: StoreError) -> Error {
    match error {
        StoreError::Make(MakeError::Read(error)) => cause(error),
        error => error.into(),
    }
}

fn tell(engine: &Engine, record: &Record, image: &Image, options: &CommitOptions) {
    let reference = options.reference.as_ref().map(Reference::familiar);
    let more = [
        ("comment", options.message.clone()),
        ("imageID", image.id.to_string()),
        ("imageRef", reference.unwrap_or_default()),
    ];
    let mut journal = Journal::new(engine.run_root());
    if let Some(reference) = &options.reference {
        journal.image(image.id.as_ref(), &reference.familiar(), "tag");
    }
    journal.container(record, "commit", &more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> RunConfig {
        serde_json::from_str(
            r#"{"Env":["PATH=/bin","A=image"],"Cmd":["sh"],"Labels":{"of":"image"},
            "OnBuild":["RUN x"],"Shell":["/bin/ash","-c"]}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_was_asked_goes_into_the_image() {
        let request = Request {
            args: vec!["sleep".into(), "9".into()],
            env: vec!["A=1".into()],
            user: Some("33".into()),
            workdir: Some("/w".into()),
            labels: [("l".to_owned(), "1".to_owned())].into(),
            mounts: vec![Mount::anonymous_volume("/v"), Mount::volume("n", "/w")],
            ..Request::default()
        };
        let own = of_container(&request, &image());
        assert_eq!(own.env, ["A=1", "PATH=/bin"]);
        assert_eq!(own.cmd.as_deref().unwrap(), ["sleep", "9"]);
        assert_eq!((&*own.user, &*own.working_dir), ("33", "/w"));
        assert_eq!(own.labels.len(), 2);
        assert!(own.volumes.iter().eq(["/v"]));
        // For builds only, and of the image only.
        assert!(own.on_build.is_empty() && own.shell.is_none());
    }

    #[test]
    fn changes_go_on_top() {
        let own = of_container(&Request::default(), &image());
        let with = |changes: &[&str]| {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            changed(&own, &changes).unwrap()
        };
        assert_eq!(with(&["CMD x"]).cmd.unwrap(), ["/bin/sh", "-c", "x"]);
        // The old arguments do not fit a new entry point; taken away, they come back.
        assert_eq!(with(&["ENTRYPOINT [\"e\"]"]).cmd, None);
        assert_eq!(with(&["CMD []"]).cmd.unwrap(), ["sh"]);
        assert_eq!(with(&["ENV A=2 B=$A"]).env, ["PATH=/bin", "A=2", "B=image"]);
        assert!(changed(&own, &["RUN x".to_owned()]).is_err());
    }
}
