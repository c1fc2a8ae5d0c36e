//! What a container uses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Figures of one moment. A part is `None` where its controller is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Processor time.
    pub cpu: Option<CpuStats>,
    /// Tasks.
    pub pids: Option<PidsStats>,
    /// Block devices that were used.
    pub io: Vec<DeviceIo>,
    /// How much work was delayed for want of something; v2 only.
    pub pressure: Option<Pressure>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// In use, with the page cache.
    pub usage: u64,
    /// Page cache that was not used of late; `docker stats` shows [`usage`](Self::usage) less
    /// this.
    pub inactive_file: u64,
    /// The most that was in use; v2 knows it from Linux 5.19.
    pub peak: Option<u64>,
    /// The limit, if any.
    pub limit: Option<u64>,
    /// Swap in use, if that is counted.
    pub swap: Option<u64>,
    /// Processes that the kernel has killed for want of memory.
    pub oom_kills: u64,
}

/// Processor time since the group was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// All.
    pub usage: Duration,
    /// Of it, in programs.
    pub user: Duration,
    /// Of it, in the kernel.
    pub system: Duration,
    /// Periods in which there was a quota to meet.
    pub periods: u64,
    /// Of them, those in which it was used up.
    pub throttled_periods: u64,
    /// How long tasks stood still for that.
    pub throttled: Duration,
}

/// Tasks: threads count each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit, if any.
    pub limit: Option<u64>,
}

/// One block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeviceIo {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pressure {
    /// Of processors.
    pub cpu: Stall,
    /// Of memory.
    pub memory: Stall,
    /// Of input and output.
    pub io: Stall,
}

/// Shares of time (percent, over the last 10 seconds) and totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stall {
    /// At least one task waited.
    pub some_avg10: f32,
    /// At least one task waited, since the group was made.
    pub some_total: Duration,
    /// All tasks waited.
    pub full_avg10: f32,
    /// All tasks waited, since the group was made.
    pub full_total: Duration,
}

impl Stats {
    /// Processor time only.
    pub(crate) fn of_cpu(user: Duration, system: Duration) -> Self {
        Self {
            cpu: Some(CpuStats {
                usage: user + system,
                user,
                system,
                ..CpuStats::default()
            }),
            ..Self::default()
        }
    }

    /// Bytes read from all devices.
    pub fn read_bytes(&self) -> u64 {
        self.io.iter().map(|device| device.read_bytes).sum()
    }

    /// Bytes written to all devices.
    pub fn write_bytes(&self) -> u64 {
        self.io.iter().map(|device| device.write_bytes).sum()
    }
}

impl DeviceIo {
    /// The entry of a device written `major:minor`.
    pub(super) fn entry<'a>(all: &'a mut Vec<DeviceIo>, name: &str) -> Option<&'a mut DeviceIo> {
        let (major, minor) = name.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let known = all
            .iter()
            .position(|device| (device.major, device.minor) == (major, minor));
        let at = known.unwrap_or_else(|| {
            all.push(DeviceIo {
                major,
                minor,
                ..DeviceIo::default()
            });
            all.len() - 1
        });
        all.get_mut(at)
    }

    /// A line of v1's `blkio.throttle.io_service_bytes` or `io_serviced`: `8:0 Read 4096`.
    pub(super) fn add_v1(all: &mut Vec<DeviceIo>, text: &str, bytes: bool) {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(what), Some(Ok(count))) =
                (words.next(), words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            let Some(device) = DeviceIo::entry(all, name) else {
                continue;
            };
            match (what, bytes) {
                ("Read", true) => device.read_bytes = count,
                ("Write", true) => device.write_bytes = count,
                ("Read", false) => device.reads = count,
                ("Write", false) => device.writes = count,
                _ => {}
            }
        }
    }

    /// v2's `io.stat`: `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
    pub(super) fn of_v2(text: &str) -> Vec<DeviceIo> {
        let mut all = Vec::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(device) = words
                .next()
                .and_then(|name| DeviceIo::entry(&mut all, name))
            else {
                continue;
            };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let Ok(value) = value.parse() else { continue };
                match key {
                    "rbytes" => device.read_bytes = value,
                    "wbytes" => device.write_bytes = value,
                    "rios" => device.reads = value,
                    "wios" => device.writes = value,
                    _ => {}
                }
            }
        }
        all
    }
}

impl Stall {
    /// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the same with `full`.
    pub(super) fn parse(text: &str) -> Stall {
        let mut stall = Stall::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (average, total) = match words.next() {
                Some("some") => (&mut stall.some_avg10, &mut stall.some_total),
                Some("full") => (&mut stall.full_avg10, &mut stall.full_total),
                _ => continue,
            };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                match key {
                    "avg10" => *average = value.parse().unwrap_or(0.0),
                    "total" => *total = Duration::from_micros(value.parse().unwrap_or(0)),
                    _ => {}
                }
            }
        }
        stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_of_both_versions() {
        let expected = DeviceIo {
            major: 8,
            minor: 16,
            read_bytes: 4096,
            write_bytes: 512,
            reads: 1,
            writes: 2,
        };
        assert_eq!(
            DeviceIo::of_v2("8:16 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n\nx\n"),
            [expected]
        );
        let mut v1 = Vec::new();
        DeviceIo::add_v1(
            &mut v1,
            "8:16 Read 4096\n8:16 Write 512\n8:16 Total 4608\nTotal 4608\n",
            true,
        );
        DeviceIo::add_v1(&mut v1, "8:16 Read 1\n8:16 Write 2\n", false);
        assert_eq!(v1, [expected]);
    }

    #[test]
    fn stalls() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1500\nfull avg10=0.25 avg60=0 avg300=0 total=7\n";
        let stall = Stall::parse(text);
        assert_eq!((stall.some_avg10, stall.full_avg10), (1.5, 0.25));
        assert_eq!(
            (stall.some_total.as_micros(), stall.full_total.as_micros()),
            (1500, 7)
        );
    }
}
