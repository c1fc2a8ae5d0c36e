use oci_spec::runtime::Capability;

use super::*;

#[test]
fn the_process() {
    let set = |list: &[Capability]| Some(list.iter().copied().collect());
    let mut capabilities = oci::LinuxCapabilities::default();
    capabilities
        .set_bounding(set(&[Capability::Chown, Capability::CheckpointRestore]))
        .set_effective(set(&[Capability::Kill]))
        .set_permitted(set(&[Capability::SysAdmin]))
        .set_inheritable(None)
        .set_ambient(set(&[Capability::NetRaw]));
    let limit = oci::PosixRlimitBuilder::default()
        .typ(oci::PosixRlimitType::RlimitNofile)
        .soft(1_u64)
        .hard(2_u64);
    let mut user = oci::User::default();
    user.set_uid(7)
        .set_gid(8)
        .set_additional_gids(Some(vec![9]))
        .set_umask(Some(0o27));
    let mut process = oci::Process::default();
    process
        .set_args(Some(vec!["a".into()]))
        .set_env(Some(vec!["E=1".into()]))
        .set_cwd("/w".into())
        .set_user(user)
        .set_capabilities(Some(capabilities))
        .set_rlimits(Some(vec![limit.build().unwrap()]))
        .set_no_new_privileges(Some(true))
        .set_oom_score_adj(Some(-5));
    let mut spec = spec(Vec::new(), |_| {});
    spec.set_process(Some(process));
    let want = Process {
        args: vec!["a".into()],
        env: vec!["E=1".into()],
        cwd: "/w".into(),
        user: User::Numeric {
            uid: 7,
            gid: 8,
            groups: vec![9],
        },
        umask: Some(0o27),
        capabilities: Capabilities {
            bounding: 1 | 1 << 40,
            effective: 1 << 5,
            permitted: 1 << 21,
            inheritable: 0,
            ambient: 1 << 13,
        },
        no_new_privileges: true,
        rlimits: vec![(libc::RLIMIT_NOFILE, 1, 2)],
        oom_score_adj: Some(-5),
        seccomp: None,
        init: false,
    };
    assert_eq!(lowered(&spec).process, want);
}

#[test]
fn the_filter_is_compiled() {
    let lower = |action| {
        let mut profile = oci::LinuxSeccomp::default();
        profile.set_default_action(action).set_architectures(None);
        lower(
            &spec(Vec::new(), |linux| _ = linux.set_seccomp(Some(profile))),
            &facts(),
        )
    };
    let allow = lower(oci::LinuxSeccompAction::ScmpActAllow).unwrap();
    let deny = lower(oci::LinuxSeccompAction::ScmpActErrno).unwrap();
    assert!(allow.process.seccomp.is_some());
    assert_ne!(allow.process.seccomp, deny.process.seccomp);
    assert!(lowered(&spec(Vec::new(), |_| {})).process.seccomp.is_none());
}
