//! `--security-opt`.

/// Why an option cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecurityError {
    #[error("invalid --security-opt: {0:?}")]
    Unknown(String),
    #[error(
        "--security-opt {0}: AppArmor profiles are not applied here yet; apparmor=unconfined \
         is what every container has"
    )]
    AppArmor(String),
    #[error(
        "--security-opt {0}: SELinux labels are not applied here yet; label=disable is what \
         every container has"
    )]
    Label(String),
    #[error("--security-opt {0}: the container's /sys/fs/cgroup is read-only unless --privileged")]
    WritableCgroups(String),
}

/// Where the seccomp profile comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SeccompSource {
    /// Docker's, built in.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A file to be read.
    File(String),
}

/// All `--security-opt` of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: SeccompSource,
    pub(crate) unmask_system_paths: bool,
}

/// Reads the options in order; later ones win. `key:value` is Docker's older spelling.
pub(crate) fn parse(options: &[String]) -> Result<Security, SecurityError> {
    let mut security = Security::default();
    for option in options {
        let unknown = || SecurityError::Unknown(option.clone());
        if option == "no-new-privileges" {
            security.no_new_privileges = true;
            continue;
        }
        let (key, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .ok_or_else(unknown)?;
        match (key, value) {
            ("no-new-privileges", value) => {
                security.no_new_privileges = super::size::switch(value).map_err(|_| unknown())?;
            }
            ("seccomp", "unconfined") => security.seccomp = SeccompSource::Unconfined,
            ("seccomp", "builtin") => security.seccomp = SeccompSource::Default,
            ("seccomp", "") => return Err(unknown()),
            ("seccomp", file) => security.seccomp = SeccompSource::File(file.to_owned()),
            ("systempaths", "unconfined") => security.unmask_system_paths = true,
            ("apparmor", "unconfined") | ("label", "disable") => {}
            ("apparmor", _) => return Err(SecurityError::AppArmor(option.clone())),
            ("label", _) => return Err(SecurityError::Label(option.clone())),
            ("writable-cgroups", "false") => {}
            ("writable-cgroups", _) => return Err(SecurityError::WritableCgroups(option.clone())),
            _ => return Err(unknown()),
        }
    }
    Ok(security)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> Result<Security, SecurityError> {
        parse(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        assert_eq!(read(&[]), Ok(Security::default()));
        let all = read(&[
            "no-new-privileges",
            "seccomp=/p.json",
            "systempaths=unconfined",
        ]);
        let want = Security {
            no_new_privileges: true,
            seccomp: SeccompSource::File("/p.json".into()),
            unmask_system_paths: true,
        };
        assert_eq!(all, Ok(want));
        assert_eq!(
            read(&["seccomp:unconfined"]).unwrap().seccomp,
            SeccompSource::Unconfined
        );
        assert_eq!(
            read(&["seccomp=unconfined", "seccomp=builtin"])
                .unwrap()
                .seccomp,
            SeccompSource::Default
        );
        assert!(
            !read(&["no-new-privileges=false"])
                .unwrap()
                .no_new_privileges
        );
        assert!(read(&["no-new-privileges:true"]).unwrap().no_new_privileges);
        assert!(read(&["apparmor=unconfined", "label=disable"]).is_ok());
    }

    #[test]
    fn wrong_options() {
        for text in [
            "foo",
            "foo=bar",
            "systempaths=foo",
            "no-new-privileges=foo",
            "seccomp=",
        ] {
            assert_eq!(
                read(&[text]),
                Err(SecurityError::Unknown(text.into())),
                "{text}"
            );
        }
        assert!(matches!(
            read(&["apparmor=foo"]),
            Err(SecurityError::AppArmor(_))
        ));
        assert!(matches!(
            read(&["label=type:x"]),
            Err(SecurityError::Label(_))
        ));
    }
}
