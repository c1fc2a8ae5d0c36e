//! What is told of the machine: by `info`, and as the whole of which `stats` shows parts.

use std::fs;

/// Its memory in bytes; 0 where the kernel does not say.
pub(crate) fn memory() -> u64 {
    meminfo(&text("/proc/meminfo"))
}

/// The name of its distribution.
pub(crate) fn operating_system() -> String {
    os_release(&text("/etc/os-release"))
}

/// A file that may be missing on an odd machine; then nothing is told of it.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn os_release(text: &str) -> String {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or("unknown", |name| name.trim_matches('"'))
        .to_owned()
}

fn meminfo(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
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
            os_release("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(os_release(""), "unknown");
        assert_eq!(
            meminfo("MemTotal:       24683752 kB\nMemFree: 1 kB"),
            24_683_752 * 1024
        );
        assert_eq!(meminfo(""), 0);
    }
}
