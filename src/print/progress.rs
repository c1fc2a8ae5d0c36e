//! How a pull is shown: on a terminal a line a layer that is redrawn, else a line an event, both
//! in Docker's words.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use container_core::image::registry::Progress;
use container_core::image::{Digest, Reference};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes. A `run`'s standard output is its container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Quiet,
    Stdout,
    Stderr,
}

/// Shows a pull. Clones show the same one; events may come from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Printer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    output: Output,
    bars: Option<MultiProgress>,
    /// In the manifest's order.
    layers: Vec<(Digest, ProgressBar)>,
    started: HashSet<Digest>,
    /// What is pulled, in Docker's words; printed once the registry has it.
    header: Option<String>,
    wanted: String,
}

impl Printer {
    /// Shows on a stream, redrawing when it is a terminal.
    pub(crate) fn new(output: Output, reference: &Reference) -> Self {
        let wanted = match (reference.tag(), reference.digest()) {
            (_, Some(digest)) => digest.to_string(),
            (tag, None) => tag.unwrap_or_default().to_owned(),
        };
        let bars = match output {
            Output::Stdout if std::io::stdout().is_terminal() => Some(ProgressDrawTarget::stdout()),
            Output::Stderr if std::io::stderr().is_terminal() => Some(ProgressDrawTarget::stderr()),
            _ => None,
        };
        Self(Arc::new(Mutex::new(State {
            output,
            bars: bars.map(MultiProgress::with_draw_target),
            layers: Vec::new(),
            started: HashSet::new(),
            header: Some(format!("{wanted}: Pulling from {}", reference.repository())),
            wanted,
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Half a picture is worth showing: a panic elsewhere does not stop it.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows an event of the pull of an image.
    pub(crate) fn event(&self, event: &Progress) {
        self.with(|state| state.event(event));
    }

    /// Prints the digest and the last line.
    pub(crate) fn finish(&self, digest: &Digest, status: &str) {
        self.with(|state| {
            state.header();
            state.settle();
            state.line(&format!("Digest: {digest}"));
            state.line(status);
        });
    }
}

impl Drop for State {
    /// A pull that fails leaves its lines standing, and the error stands below them.
    fn drop(&mut self) {
        self.settle();
    }
}

/// A layer as Docker's lines name it: twelve digits.
fn short(layer: &Digest) -> String {
    layer.hex().chars().take(12).collect()
}

/// What an event says of a layer, in Docker's words, where it is worth a line.
fn words(event: &Progress) -> Option<(&Digest, &'static str)> {
    Some(match event {
        Progress::Exists { layer } => (layer, "Already exists"),
        Progress::Waiting { layer } => (layer, "Waiting"),
        Progress::Unpacking { layer } => (layer, "Download complete"),
        Progress::Done { layer } => (layer, "Pull complete"),
        _ => return None,
    })
}

impl State {
    fn bar(&self, layer: &Digest) -> Option<&ProgressBar> {
        self.layers
            .iter()
            .find(|(of, _)| of == layer)
            .map(|(_, bar)| bar)
    }

    /// Turns what is redrawn into lines that stay, so that more can be printed below.
    fn settle(&mut self) {
        let Some(bars) = self.bars.take() else { return };
        // A terminal that is gone shows nothing anyway.
        let _ = bars.clear();
        for (layer, bar) in std::mem::take(&mut self.layers) {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            self.line(&format!("{}: {}", short(&layer), bar.message()));
        }
    }

    fn line(&self, text: &str) {
        match (&self.bars, self.output) {
            (_, Output::Quiet) => {}
            // The reader that went away does not stop a pull.
            (Some(bars), _) if !self.layers.is_empty() => drop(bars.println(text)),
            (_, Output::Stdout) => drop(super::out(&format!("{text}\n"))),
            (_, Output::Stderr) => super::err(text),
        }
    }

    fn header(&mut self) {
        if let Some(header) = self.header.take() {
            self.line(&header);
        }
    }

    fn event(&mut self, event: &Progress) {
        match event {
            Progress::Resolved { layers, .. } => {
                self.header();
                for (layer, size) in layers {
                    self.add_bar(layer, *size);
                }
            }
            Progress::Downloading { layer, current, .. } => {
                let first = self.started.insert(layer.clone());
                match self.bar(layer) {
                    Some(bar) => bar.set_position(*current),
                    None if first => self.line(&format!("{}: Pulling fs layer", short(layer))),
                    None => {}
                }
                if first && let Some(bar) = self.bar(layer) {
                    bar.set_style(downloading());
                    bar.set_message("Downloading");
                }
            }
            Progress::Retrying {
                layer,
                delay,
                reason,
            } => {
                let what = layer.as_ref().map_or_else(|| self.wanted.clone(), short);
                self.line(&format!(
                    "{what}: Retrying in {} seconds: {reason}",
                    delay.as_secs_f64().ceil()
                ));
            }
            _ => {}
        }
        if let Some((layer, text)) = words(event) {
            match self.bar(layer) {
                None => self.line(&format!("{}: {text}", short(layer))),
                Some(bar) => {
                    bar.set_style(plain());
                    match event {
                        Progress::Unpacking { .. } => bar.set_message("Extracting"),
                        Progress::Waiting { .. } => bar.set_message(text),
                        _ => bar.finish_with_message(text),
                    }
                }
            }
        }
    }

    fn add_bar(&mut self, layer: &Digest, size: u64) {
        if let Some(bars) = &self.bars {
            let bar = bars.add(ProgressBar::new(size));
            bar.set_style(plain());
            bar.set_prefix(short(layer));
            bar.set_message("Pulling fs layer");
            self.layers.push((layer.clone(), bar));
        }
    }
}

fn plain() -> ProgressStyle {
    style("{prefix}: {msg}")
}

fn downloading() -> ProgressStyle {
    style("{prefix}: {msg} [{bar:40}] {decimal_bytes}/{decimal_total_bytes}")
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; were one wrong, the default bar would do.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
