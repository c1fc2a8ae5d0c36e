//! What of a container is to be seen, worked out from its plan. Pure but for [`parts`], which looks
//! at where its directories are.

use std::path::Path;

use crate::host;
use crate::plan::{Mount, MountIds, Overlay, Plan, Root, Source, Step};
use crate::runtime::Scene;
use crate::spec::Rootfs;

use super::task::Part;

/// What a runtime makes in a root file system to mount on, beside the caller's mount points: to
/// Docker, a layer of its own below the container's.
const MADE: [&str; 7] = [
    "dev",
    "etc",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "proc",
    "sys",
];

/// Which of a container's files are wanted, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its root alone, to read it.
    Root,
    /// With what the caller has mounted.
    All {
        /// To change them.
        write: bool,
    },
}

/// The scene of a container with this plan.
pub(super) fn scene(plan: &Plan, root_read_only: bool, running: bool, wanted: Wanted) -> Scene {
    let mut scene = Scene {
        root: Root {
            path: String::new(),
            overlay: None,
            ids: MountIds::Plain,
        },
        root_read_only,
        read_only: wanted != Wanted::All { write: true },
        mounts: Vec::new(),
        id_maps: plan.id_maps.clone(),
        user: plan.process.user.clone(),
    };
    for step in &plan.steps {
        match step {
            Step::Root(root) => {
                let overlay = root.overlay.as_ref();
                scene.root = Root {
                    path: root.path.clone(),
                    overlay: overlay.map(|overlay| look_at(overlay, running, wanted)),
                    ids: root.ids.clone(),
                };
            }
            Step::Mount(mount) => scene.mounts.extend(mounted(mount, running, wanted)),
            _ => {}
        }
    }
    scene
}

fn mounted(mount: &Mount, running: bool, wanted: Wanted) -> Option<Mount> {
    let of_kernel = ["/dev/", "/proc/", "/sys/"];
    if of_kernel.iter().any(|top| mount.target.starts_with(top)) {
        return None;
    }
    let source = match &mount.source {
        // A part of the root of `host`; of what the caller mounts, nothing is written to it.
        Source::Overlay(overlay) if overlay.upper.is_some() => {
            Source::Overlay(look_at(overlay, running, wanted))
        }
        Source::New { fstype, .. } if fstype != "tmpfs" => return None,
        source if mount.foreign && wanted != Wanted::Root => source.clone(),
        _ => return None,
    };
    Some(Mount {
        source,
        ..mount.clone()
    })
}

/// An overlay to be mounted for a while. One that is only read has no upper directory: then it
/// does not matter who else mounts it.
fn look_at(overlay: &Overlay, running: bool, wanted: Wanted) -> Overlay {
    let mut overlay = overlay.clone();
    overlay.options.retain(|option| option != "volatile");
    if wanted == Wanted::Root && !running {
        let upper = overlay.upper.take().map(|(upper, _)| upper);
        overlay.lower.splice(..0, upper);
    }
    overlay
}

/// The directories that a container's changes are in.
pub(super) fn parts(rootfs: &Rootfs, made: &[String]) -> Vec<Part> {
    let own = |at: &str| {
        let inside = |path: &&str| match at {
            "" => Some((*path).to_owned()),
            at => Some(path.strip_prefix(at)?.strip_prefix('/')?.to_owned()),
        };
        MADE.iter().filter_map(inside).collect()
    };
    match rootfs {
        Rootfs::Layers { lower, upper, .. } => vec![Part {
            at: String::new(),
            upper: upper.clone(),
            lower: lower.clone(),
            made: own(""),
            hides_private: false,
        }],
        Rootfs::Host { base, overlays } => {
            let base = Part {
                at: String::new(),
                upper: base.clone(),
                lower: Vec::new(),
                made: made.to_vec(),
                hides_private: false,
            };
            let overlay = |(name, upper, _): &(String, _, _)| Part {
                at: name.clone(),
                upper: std::path::PathBuf::clone(upper),
                lower: vec![Path::new("/").join(name)],
                made: own(name),
                hides_private: true,
            };
            std::iter::once(base)
                .chain(overlays.iter().map(overlay))
                .collect()
        }
    }
}

/// What lies in the base of a `host` container from the beginning.
pub(super) fn made_in_base(entries: &[crate::monitor::job::Entry]) -> Vec<String> {
    let inside = |entry: &crate::monitor::job::Entry| {
        let path = entry.path.strip_prefix(host::BASE)?.strip_prefix('/')?;
        Some(path.to_owned())
    };
    entries.iter().filter_map(inside).collect()
}
