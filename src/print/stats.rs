//! The rows of `stats`.

use std::time::Duration;

use container_core::cgroup::Stats;
use serde::Serialize;

use super::rows::Titles;
use super::size;

/// The table of `docker stats`.
pub(crate) const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t\
                                {{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";

/// The titles of its columns.
pub(crate) const TITLES: &Titles = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];

/// A row; the fields are those of Docker's templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "*container.statsContext", rename_all = "PascalCase")]
pub(crate) struct Row {
    #[serde(rename = "BlockIO")]
    pub(crate) block_io: String,
    #[serde(rename = "CPUPerc")]
    pub(crate) cpu: String,
    pub(crate) container: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) mem_perc: String,
    pub(crate) mem_usage: String,
    pub(crate) name: String,
    #[serde(rename = "NetIO")]
    pub(crate) net_io: String,
    #[serde(rename = "PIDs")]
    pub(crate) pids: String,
}

/// What is known of a container's use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Counted {
    Figures(Box<Stats>),
    /// It does not run.
    Ended,
    /// Nothing is counted.
    Unknown,
}

/// What a container used, and how much processor time in which time since the look before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Used {
    pub(crate) stats: Counted,
    pub(crate) cpu: Duration,
    pub(crate) passed: Duration,
}

/// A container's names, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// As the caller called it.
    pub(crate) container: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

/// A share in percent, with two digits.
fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 {
        part / whole * 100.0
    } else {
        0.0
    };
    format!("{share:.2}%")
}

/// The row of a container, on a machine with so much memory.
pub(crate) fn row(names: Names, used: &Used, machine_memory: u64) -> Row {
    let nothing = Stats::default();
    let stats = match &used.stats {
        Counted::Figures(stats) => stats,
        Counted::Ended => &nothing,
        Counted::Unknown => return unknown(names),
    };
    let (usage, limit) = match (&stats.memory, &used.stats) {
        (Some(memory), _) => (
            // Cache that can go at any time is not counted, as Docker does it.
            memory.usage.saturating_sub(memory.inactive_file),
            memory.limit.unwrap_or(machine_memory).min(machine_memory),
        ),
        (None, Counted::Figures(_)) => (0, machine_memory),
        (None, _) => (0, 0),
    };
    let (read, written) = stats.io.iter().fold((0, 0), |(read, written), device| {
        (read + device.read_bytes, written + device.write_bytes)
    });
    Row {
        block_io: format!("{} / {}", size::human(read), size::human(written)),
        cpu: percent(used.cpu.as_secs_f64(), used.passed.as_secs_f64()),
        container: names.container,
        id: names.id,
        mem_perc: percent(usage as f64, limit as f64),
        mem_usage: format!("{} / {}", size::binary(usage), size::binary(limit)),
        name: names.name,
        // There is no network yet that is counted.
        net_io: "0B / 0B".to_owned(),
        pids: stats.pids.map_or(0, |pids| pids.current).to_string(),
    }
}

fn unknown(names: Names) -> Row {
    let dashes = || "--".to_owned();
    Row {
        block_io: dashes(),
        cpu: dashes(),
        container: names.container,
        id: names.id,
        mem_perc: dashes(),
        mem_usage: "-- / --".to_owned(),
        name: names.name,
        net_io: dashes(),
        pids: dashes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::cgroup::{CpuStats, DeviceIo, MemoryStats, PidsStats};

    fn names() -> Names {
        Names {
            container: "web".into(),
            id: "c0cac5f46dc0".into(),
            name: "web".into(),
        }
    }

    #[test]
    fn what_is_shown() {
        let mut stats = Stats::default();
        let mut memory = MemoryStats::default();
        (memory.usage, memory.inactive_file) = (600 << 10, 52 << 10);
        memory.limit = Some(512 << 20);
        stats.memory = Some(memory);
        stats.cpu = Some(CpuStats::default());
        let mut pids = PidsStats::default();
        pids.current = 3;
        stats.pids = Some(pids);
        let mut device = DeviceIo::default();
        (device.read_bytes, device.write_bytes) = (36_900, 500);
        stats.io = vec![device, device];
        let used = Used {
            stats: Counted::Figures(Box::new(stats)),
            cpu: Duration::from_millis(1500),
            passed: Duration::from_secs(1),
        };
        let shown = row(names(), &used, 24 << 30);
        assert_eq!(shown.mem_usage, "548KiB / 512MiB");
        assert_eq!(shown.mem_perc, "0.10%");
        assert_eq!(shown.cpu, "150.00%");
        assert_eq!(shown.block_io, "73.8kB / 1kB");
        assert_eq!(shown.pids, "3");
    }

    #[test]
    fn what_does_not_run() {
        let used = |stats| Used {
            stats,
            cpu: Duration::ZERO,
            passed: Duration::ZERO,
        };
        let shown = row(names(), &used(Counted::Ended), 24 << 30);
        assert_eq!(shown.mem_usage, "0B / 0B");
        assert_eq!((shown.cpu.as_str(), shown.pids.as_str()), ("0.00%", "0"));
        let shown = row(names(), &used(Counted::Unknown), 24 << 30);
        assert_eq!(
            (shown.cpu.as_str(), shown.mem_usage.as_str()),
            ("--", "-- / --")
        );
    }
}
