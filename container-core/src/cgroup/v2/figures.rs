//! What a container uses, as v2 tells it.

use std::time::Duration;

use super::super::directory::{read_if_any, value_of};
use super::super::stats::{CpuStats, DeviceIo, MemoryStats, PidsStats, Pressure, Stall, Stats};
use super::super::{Cgroup, CgroupError};
use super::V2;

impl V2 {
    pub(super) fn figures(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        if let Some(usage) = self.number("memory.current")? {
            let stat = read_if_any(&self.file("memory.stat"))?.unwrap_or_default();
            stats.memory = Some(MemoryStats {
                usage,
                inactive_file: value_of(&stat, "inactive_file").unwrap_or(0),
                peak: self.number("memory.peak")?,
                limit: self.number("memory.max")?,
                swap: self.number("memory.swap.current")?,
                oom_kills: self.oom_kills()?,
            });
        }
        // Times are there without the controller, throttling only with it.
        if let Some(text) = read_if_any(&self.file("cpu.stat"))? {
            let time = |key| Duration::from_micros(value_of(&text, key).unwrap_or(0));
            stats.cpu = Some(CpuStats {
                usage: time("usage_usec"),
                user: time("user_usec"),
                system: time("system_usec"),
                periods: value_of(&text, "nr_periods").unwrap_or(0),
                throttled_periods: value_of(&text, "nr_throttled").unwrap_or(0),
                throttled: time("throttled_usec"),
            });
        }
        if let Some(current) = self.number("pids.current")? {
            stats.pids = Some(PidsStats {
                current,
                limit: self.number("pids.max")?,
            });
        }
        stats.io = DeviceIo::of_v2(&read_if_any(&self.file("io.stat"))?.unwrap_or_default());
        if let Some(cpu) = self.stall("cpu.pressure")? {
            let memory = self.stall("memory.pressure")?.unwrap_or_default();
            let io = self.stall("io.pressure")?.unwrap_or_default();
            stats.pressure = Some(Pressure { cpu, memory, io });
        }
        Ok(stats)
    }

    fn stall(&self, file: &str) -> Result<Option<Stall>, CgroupError> {
        Ok(read_if_any(&self.file(file))?.map(|text| Stall::parse(&text)))
    }
}
