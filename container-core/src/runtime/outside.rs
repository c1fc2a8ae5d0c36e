//! What is mounted from outside for a container with a user namespace of its own: its root may
//! neither shift owners nor reach every source, and an overlay that it mounts does not understand
//! layers that the machine's root has unpacked.
//!
//! A process of ours, root of the machine, makes it all in a mount namespace of its own, where
//! nobody sees it, and hands it, detached, to the container's first process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;

use super::id_mapped::Shift;
use super::launch::News;
use super::resolve;
use super::{Fault, child, copy_up, mount, sys};
use crate::plan::{CLONE_NEWNS, IdMaps, Mount, Plan, Step, User};
use crate::wire::Channel;

/// Makes what a plan has mounted from outside and sends it to the first process.
pub(super) fn furnish(plan: &Plan, maps: &IdMaps, first: &Channel) -> Result<(), Fault> {
    let (pid, _, ours) =
        child::connected(CLONE_NEWNS, None, |theirs| match make(plan, maps, first) {
            Ok(()) => 0,
            Err(fault) => {
                _ = theirs.send(&fault, &[]);
                1
            }
        })
        .map_err(Fault::at("clone a process that mounts"))?;
    let said = ours.receive::<Fault>();
    let ended = super::wait(pid);
    match said {
        Ok(Some((fault, _))) => Err(fault),
        Ok(None) if ended.code == 0 => Ok(()),
        Ok(None) => Err(Fault::Setup {
            step: "mount from outside".into(),
            reason: "the process that does it ended without a word".into(),
        }),
        Err(e) => Err(Fault::setup("hear from the process that mounts", &e)),
    }
}

fn make(plan: &Plan, maps: &IdMaps, first: &Channel) -> Result<(), Fault> {
    let shift = Shift::take_on(maps).map_err(Fault::at("take on the container's ids"))?;
    // After the change of ids, which clears it. Filling a volume may take long.
    sys::die_with_parent().map_err(Fault::at("tie the process that mounts to the monitor"))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut maker = Maker {
        user: &plan.process.user,
        shift,
        first,
        root: None,
        prepared: Vec::new(),
    };
    plan.steps.iter().try_for_each(|step| maker.step(step))
}

struct Maker<'a> {
    user: &'a User,
    shift: Shift,
    first: &'a Channel,
    root: Option<OwnedFd>,
    /// By where it will be.
    prepared: Vec<(String, OwnedFd)>,
}

impl Maker<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        match step {
            Step::Propagation(flags) => {
                mount::propagation(*flags).map_err(|e| Fault::setup(step, &e))
            }
            Step::Root(root) => {
                let made = mount::root(root, Some(&self.shift));
                let made = made.map_err(|e| Fault::setup(step, &e))?;
                let tree = mount::clone_tree(&made, "", root.overlay.is_none());
                self.hand_over("/", &tree.map_err(|e| Fault::setup(step, &e))?)?;
                self.root = Some(made);
                Ok(())
            }
            Step::Prepare(m) => self.prepare(m),
            Step::Mount(m) if m.is_made_outside() => self.mount(m),
            _ => Ok(()),
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Fault> {
        let missing = || Fault::Setup {
            step: "mount from outside".into(),
            reason: "there is no root file system yet".into(),
        };
        self.root.as_ref().map(AsFd::as_fd).ok_or_else(missing)
    }

    fn prepare(&mut self, m: &Mount) -> Result<(), Fault> {
        let root = self.root()?;
        if let Some(tree) = mount::tree(root, m, self.user, Some(&self.shift))? {
            if let Some(volume) = &m.copy_up {
                copy_up::copy_up(root, &m.target, volume, tree.as_fd())
                    .map_err(|e| Fault::setup(Step::Prepare(m.clone()), &e))?;
            }
            self.prepared.push((m.target.clone(), tree));
        }
        Ok(())
    }

    fn mount(&mut self, m: &Mount) -> Result<(), Fault> {
        let fault = |e: std::io::Error| Fault::setup(m, &e);
        let made = self.prepared.iter().position(|(at, _)| *at == m.target);
        let made = made.map(|index| self.prepared.swap_remove(index).1);
        let root = self.root()?;
        let tree = match made {
            Some(tree) => Some(tree),
            None => mount::tree(root, m, self.user, Some(&self.shift))?,
        };
        let tree = match tree {
            Some(tree) => tree,
            // It is in place; the container gets a copy.
            None => {
                mount::mount(root, m, None, Some(&self.shift))?;
                let at = resolve::open(root, &m.target, OFlags::PATH, mount::links(m));
                mount::clone_tree(at.map_err(fault)?, "", false).map_err(fault)?
            }
        };
        self.hand_over(&m.target, &tree)
    }

    fn hand_over(&self, target: &str, tree: &OwnedFd) -> Result<(), Fault> {
        self.first
            .send(&News::Tree(target.to_owned()), &[tree.as_fd()])
            .map_err(Fault::at("hand a mount to the container"))
    }
}
