//! `info`

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::cli::program::FormatArgs;
use crate::error::Error;
use crate::print::{self, size};
use crate::settings::Settings;

/// What is told; names and order are Docker's.
#[derive(Debug, Serialize)]
#[serde(rename = "system.dockerInfo", rename_all = "PascalCase")]
struct Info {
    images: usize,
    server_version: &'static str,
    driver: &'static str,
    cgroup_version: String,
    rootless: bool,
    kernel_version: String,
    operating_system: String,
    #[serde(rename = "OSType")]
    os_type: &'static str,
    architecture: String,
    #[serde(rename = "NCPU")]
    cpus: usize,
    mem_total: u64,
    name: String,
    docker_root_dir: String,
    run_root_dir: String,
}

/// Tells about engine and machine.
pub(crate) fn run(settings: &Settings, args: FormatArgs) -> Result<u8, Error> {
    let engine = settings.engine()?;
    let machine = rustix::system::uname();
    let info = Info {
        images: engine.store().images()?.len(),
        server_version: env!("CARGO_PKG_VERSION"),
        driver: "overlayfs",
        cgroup_version: cgroup_version().to_owned(),
        rootless: engine.is_rootless(),
        kernel_version: machine.release().to_string_lossy().into_owned(),
        operating_system: operating_system(&text("/etc/os-release")),
        os_type: "linux",
        architecture: machine.machine().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: memory(&text("/proc/meminfo")),
        name: machine.nodename().to_string_lossy().into_owned(),
        docker_root_dir: engine.root().display().to_string(),
        run_root_dir: engine.run_root().display().to_string(),
    };
    let text = match args.format.as_deref() {
        None | Some("") => plain(&info),
        Some(format) => super::formatted(format, &info)?,
    };
    print::out(&text).map(|()| 0)
}

fn plain(info: &Info) -> String {
    [
        ("Images", info.images.to_string()),
        ("Version", info.server_version.to_owned()),
        ("Storage Driver", info.driver.to_owned()),
        ("Cgroup Version", info.cgroup_version.clone()),
        ("Rootless", info.rootless.to_string()),
        ("Kernel Version", info.kernel_version.clone()),
        ("Operating System", info.operating_system.clone()),
        ("OSType", info.os_type.to_owned()),
        ("Architecture", info.architecture.clone()),
        ("CPUs", info.cpus.to_string()),
        ("Total Memory", size::binary(info.mem_total)),
        ("Name", info.name.clone()),
        ("Root Dir", info.docker_root_dir.clone()),
        ("Run Dir", info.run_root_dir.clone()),
    ]
    .into_iter()
    .map(|(name, value)| format!("{name}: {value}\n"))
    .collect()
}

/// A file that may be missing on an odd machine; then nothing is told of it.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn cgroup_version() -> &'static str {
    // Only the root of a v2 tree lists the controllers (kernel, cgroup-v2.rst).
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "2"
    } else {
        "1"
    }
}

fn operating_system(os_release: &str) -> String {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or("unknown", |name| name.trim_matches('"'))
        .to_owned()
}

fn memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("0");
    kilobytes.parse::<u64>().unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts() {
        assert_eq!(
            operating_system("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(operating_system(""), "unknown");
        assert_eq!(
            memory("MemTotal:       24683752 kB\nMemFree: 1 kB"),
            24_683_752 * 1024
        );
        assert_eq!(memory(""), 0);
    }
}
