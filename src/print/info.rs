//! What `info` tells; names and order are Docker's.

use serde::Serialize;

use super::size;

/// Engine and machine.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename = "system.dockerInfo", rename_all = "PascalCase")]
pub(crate) struct Info {
    pub(crate) containers: usize,
    pub(crate) containers_running: usize,
    pub(crate) containers_paused: usize,
    pub(crate) containers_stopped: usize,
    pub(crate) images: usize,
    pub(crate) driver: &'static str,
    pub(crate) plugins: Plugins,
    pub(crate) memory_limit: bool,
    pub(crate) cpu_cfs_period: bool,
    pub(crate) cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    pub(crate) cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    pub(crate) cpu_set: bool,
    pub(crate) pids_limit: bool,
    pub(crate) debug: bool,
    pub(crate) oom_kill_disable: bool,
    pub(crate) system_time: String,
    pub(crate) logging_driver: &'static str,
    pub(crate) cgroup_driver: &'static str,
    pub(crate) cgroup_version: String,
    pub(crate) kernel_version: String,
    pub(crate) operating_system: String,
    #[serde(rename = "OSType")]
    pub(crate) os_type: &'static str,
    pub(crate) architecture: String,
    #[serde(rename = "NCPU")]
    pub(crate) cpus: usize,
    pub(crate) mem_total: u64,
    pub(crate) docker_root_dir: String,
    pub(crate) run_root_dir: String,
    pub(crate) name: String,
    pub(crate) server_version: &'static str,
    pub(crate) default_runtime: &'static str,
    pub(crate) live_restore_enabled: bool,
    pub(crate) security_options: Vec<&'static str>,
    pub(crate) rootless: bool,
    pub(crate) warnings: Vec<String>,
}

/// What there is of each kind.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename = "system.PluginsInfo", rename_all = "PascalCase")]
pub(crate) struct Plugins {
    pub(crate) volume: Vec<&'static str>,
    pub(crate) network: Vec<&'static str>,
    pub(crate) log: Vec<&'static str>,
}

/// The lines of `info`.
pub(crate) fn text(info: &Info) -> String {
    let mut lines = vec![
        "Client:".to_owned(),
        format!(" Version:    {}", info.server_version),
        format!(" Debug Mode: {}", info.debug),
        String::new(),
        "Server:".to_owned(),
        format!(" Containers: {}", info.containers),
        format!("  Running: {}", info.containers_running),
        format!("  Paused: {}", info.containers_paused),
        format!("  Stopped: {}", info.containers_stopped),
        format!(" Images: {}", info.images),
        format!(" Server Version: {}", info.server_version),
        format!(" Storage Driver: {}", info.driver),
        format!(" Logging Driver: {}", info.logging_driver),
        format!(" Cgroup Driver: {}", info.cgroup_driver),
        format!(" Cgroup Version: {}", info.cgroup_version),
        " Plugins:".to_owned(),
        format!("  Volume: {}", info.plugins.volume.join(" ")),
        format!("  Network: {}", info.plugins.network.join(" ")),
        format!("  Log: {}", info.plugins.log.join(" ")),
        format!(" Default Runtime: {}", info.default_runtime),
        " Security Options:".to_owned(),
    ];
    for option in &info.security_options {
        for part in option.split(',') {
            lines.push(match part.split_once('=') {
                Some(("name", name)) => format!("  {name}"),
                Some(("profile", profile)) => format!("   Profile: {profile}"),
                _ => format!("   {part}"),
            });
        }
    }
    lines.extend([
        format!(" Kernel Version: {}", info.kernel_version),
        format!(" Operating System: {}", info.operating_system),
        format!(" OSType: {}", info.os_type),
        format!(" Architecture: {}", info.architecture),
        format!(" CPUs: {}", info.cpus),
        format!(" Total Memory: {}", size::binary(info.mem_total)),
        format!(" Name: {}", info.name),
        format!(" Docker Root Dir: {}", info.docker_root_dir),
        format!(" Run Root Dir: {}", info.run_root_dir),
        format!(" Live Restore Enabled: {}", info.live_restore_enabled),
    ]);
    let mut text = lines.join("\n") + "\n";
    for warning in &info.warnings {
        text.push_str(&format!("\nWARNING: {warning}"));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_lays_it_out() {
        let info = Info {
            containers: 4,
            security_options: vec!["name=seccomp,profile=builtin", "name=rootless"],
            warnings: vec!["No memory limit support".into()],
            ..Info::default()
        };
        let text = text(&info);
        assert!(text.contains("\nServer:\n Containers: 4\n  Running: 0\n"));
        assert!(
            text.contains(
                " Security Options:\n  seccomp\n   Profile: builtin\n  rootless\n Kernel"
            )
        );
        assert!(text.ends_with("\n\nWARNING: No memory limit support\n"));
    }
}
