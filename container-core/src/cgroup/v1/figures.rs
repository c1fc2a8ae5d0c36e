//! What a container uses, as v1 tells it.

use std::time::Duration;

use super::super::directory::value_of;
use super::super::stats::{CpuStats, DeviceIo, MemoryStats, PidsStats, Stats};
use super::super::{Cgroup, CgroupError};
use super::V1;

/// Limits that no machine reaches are how v1 writes "none": the greatest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

impl V1 {
    pub(super) fn figures(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        let memory = |name| self.number("memory", name);
        if let Some(usage) = memory("memory.usage_in_bytes")? {
            let stat = self.read("memory", "memory.stat")?.unwrap_or_default();
            stats.memory = Some(MemoryStats {
                usage,
                inactive_file: value_of(&stat, "total_inactive_file").unwrap_or(0),
                peak: memory("memory.max_usage_in_bytes")?,
                limit: memory("memory.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT),
                oom_kills: self.oom_kills()?,
                swap: memory("memory.memsw.usage_in_bytes")?.map(|both| both.saturating_sub(usage)),
            });
        }
        if let Some(usage) = self.number("cpuacct", "cpuacct.usage")? {
            let text = self.read("cpu", "cpu.stat")?.unwrap_or_default();
            let time = |name| {
                Ok::<_, CgroupError>(Duration::from_nanos(
                    self.number("cpuacct", name)?.unwrap_or(0),
                ))
            };
            stats.cpu = Some(CpuStats {
                usage: Duration::from_nanos(usage),
                user: time("cpuacct.usage_user")?,
                system: time("cpuacct.usage_sys")?,
                periods: value_of(&text, "nr_periods").unwrap_or(0),
                throttled_periods: value_of(&text, "nr_throttled").unwrap_or(0),
                throttled: Duration::from_nanos(value_of(&text, "throttled_time").unwrap_or(0)),
            });
        }
        if let Some(current) = self.number("pids", "pids.current")? {
            // "max" is none.
            stats.pids = Some(PidsStats {
                current,
                limit: self.number("pids", "pids.max")?,
            });
        }
        for (name, bytes) in [("io_service_bytes", true), ("io_serviced", false)] {
            if let Some(text) = self.read("blkio", &format!("blkio.throttle.{name}_recursive"))? {
                DeviceIo::add_v1(&mut stats.io, &text, bytes);
            }
        }
        Ok(stats)
    }
}
