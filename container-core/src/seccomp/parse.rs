//! Profiles as users write them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use super::{Arch, SeccompError};

/// Reads a profile in Docker's JSON (`--security-opt seccomp=FILE`) or OCI's (`linux.seccomp`
/// of a bundle's config.json): Docker's adds `archMap`, and to each rule `includes` and
/// `excludes`, which are decided here.
///
/// - `capabilities`: the container's bounding set.
/// - `native`: the kernel's own convention.
/// - `kernel`: major and minor version of the running kernel.
///
/// # Errors
///
/// If it is neither format, or contradicts itself. Conditions and return values are checked by
/// [`compile`](super::compile).
pub fn parse(
    json: &[u8],
    capabilities: &HashSet<Capability>,
    native: Arch,
    kernel: (u32, u32),
) -> Result<LinuxSeccomp, SeccompError> {
    let profile: Profile = serde_json::from_slice(json)?;
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if rule.applies(capabilities, native, kernel)? {
            syscalls.push(rule.into_oci()?);
        }
    }
    let architectures = match (profile.architectures, profile.arch_map) {
        (Some(some), Some(map)) if !some.is_empty() && !map.is_empty() => {
            return Err(SeccompError::Architectures);
        }
        (_, Some(map)) if !map.is_empty() => {
            let mine = map
                .into_iter()
                .find(|entry| entry.architecture == native.scmp_name());
            mine.map_or_else(Vec::new, |entry| {
                let mut all = entry.sub_architectures.unwrap_or_default();
                all.insert(0, entry.architecture);
                all
            })
        }
        (listed, _) => listed.unwrap_or_default(),
    };
    // Those of other machines cannot be called here, so their names, old and new, don't matter.
    let known = |name: &String| native.family().iter().find(|arch| arch.scmp_name() == name);
    let architectures = architectures
        .iter()
        .filter_map(known)
        .map(|arch| arch.to_oci())
        .collect();

    let mut result = LinuxSeccomp::default();
    result
        .set_default_action(profile.default_action)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(Some(architectures))
        .set_flags(profile.flags)
        .set_listener_path(profile.listener_path)
        .set_listener_metadata(profile.listener_metadata)
        .set_syscalls(Some(syscalls));
    Ok(result)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Filter {
    fn caps(&self) -> &[String] {
        self.caps.as_deref().unwrap_or_default()
    }

    fn arches(&self) -> &[String] {
        self.arches.as_deref().unwrap_or_default()
    }

    fn since(&self, kernel: (u32, u32)) -> Result<Option<bool>, SeccompError> {
        let Some(version) = self
            .min_kernel
            .as_deref()
            .filter(|version| !version.is_empty())
        else {
            return Ok(None);
        };
        let parsed = version
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let wanted: (u32, u32) = parsed.ok_or_else(|| SeccompError::MinKernel {
            version: version.to_owned(),
        })?;
        Ok(Some(kernel >= wanted))
    }
}

impl Rule {
    /// Included only if all that is asked holds, excluded if anything does.
    fn applies(
        &self,
        held: &HashSet<Capability>,
        native: Arch,
        kernel: (u32, u32),
    ) -> Result<bool, SeccompError> {
        let holds = |name: &String| {
            let name = name.strip_prefix("CAP_").unwrap_or(name);
            Capability::from_str(name).is_ok_and(|capability| held.contains(&capability))
        };
        let arch = native.go_name();
        if let Some(only) = &self.includes
            && !(only.caps().iter().all(holds)
                && (only.arches().is_empty() || only.arches().iter().any(|name| name == arch))
                && only.since(kernel)?.unwrap_or(true))
        {
            return Ok(false);
        }
        if let Some(not) = &self.excludes
            && (not.caps().iter().any(holds)
                || not.arches().iter().any(|name| name == arch)
                || not.since(kernel)?.unwrap_or(false))
        {
            return Ok(false);
        }
        Ok(true)
    }

    fn into_oci(self) -> Result<LinuxSyscall, SeccompError> {
        let names = match (
            self.name.filter(|name| !name.is_empty()),
            self.names.unwrap_or_default(),
        ) {
            (Some(name), names) if !names.is_empty() => return Err(SeccompError::Names { name }),
            (Some(name), _) => vec![name],
            (None, names) => names,
        };
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.filter(|args| !args.is_empty()));
        Ok(syscall)
    }
}
