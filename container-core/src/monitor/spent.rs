//! What a container without a cgroup has used: what the kernel remembers of the monitor's children
//! and theirs.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::cgroup::Stats;

/// The processor time of all runs so far.
#[derive(Debug, Default)]
pub(super) struct Spent {
    user: Duration,
    system: Duration,
}

impl Spent {
    /// Of the run that has just ended: its processes have been waited for.
    pub(super) fn since_last(&mut self) -> Option<Stats> {
        let now = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        let (user, system) = (duration(now.user_time()), duration(now.system_time()));
        let stats = Stats::of_cpu(
            user.saturating_sub(self.user),
            system.saturating_sub(self.system),
        );
        *self = Self { user, system };
        Some(stats)
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec().saturating_mul(1_000_000) + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
