use oci_spec::runtime::PosixRlimitType as Limit;

use super::*;
use crate::exec::ExecRequest;
use crate::plan;
use crate::request::Ulimit;
use crate::spec::compile_exec;

#[test]
fn entrypoint_and_command() {
    // entrypoint and CMD of the image; --entrypoint and arguments; what runs.
    type Words<'a> = Option<&'a [&'a str]>;
    #[allow(clippy::type_complexity, reason = "a table")]
    let table: [(Words<'_>, Words<'_>, Words<'_>, &[&str], Option<&[&str]>); 14] = [
        // Docker's reference, "Understand how CMD and ENTRYPOINT interact": shell forms arrive
        // as the three words that the builder made of them.
        (None, None, None, &[], None),
        (None, Some(&["cmd", "p"]), None, &[], Some(&["cmd", "p"])),
        (
            None,
            Some(&["/bin/sh", "-c", "x"]),
            None,
            &[],
            Some(&["/bin/sh", "-c", "x"]),
        ),
        (
            Some(&["/bin/sh", "-c", "e"]),
            None,
            None,
            &[],
            Some(&["/bin/sh", "-c", "e"]),
        ),
        (Some(&["e", "p"]), None, None, &[], Some(&["e", "p"])),
        (
            Some(&["e", "p"]),
            Some(&["c", "q"]),
            None,
            &[],
            Some(&["e", "p", "c", "q"]),
        ),
        // What the command line replaces.
        (None, Some(&["c"]), None, &["a", "b"], Some(&["a", "b"])),
        (Some(&["e"]), Some(&["c"]), None, &["a"], Some(&["e", "a"])),
        (Some(&["e"]), Some(&["c"]), Some(&["o"]), &[], Some(&["o"])),
        (
            Some(&["e"]),
            Some(&["c"]),
            Some(&["o"]),
            &["a"],
            Some(&["o", "a"]),
        ),
        (Some(&["e"]), Some(&["c"]), Some(&[]), &[], None),
        (Some(&["e"]), Some(&["c"]), Some(&[]), &["a"], Some(&["a"])),
        (None, None, Some(&["o"]), &[], Some(&["o"])),
        (Some(&[]), Some(&[]), None, &[], None),
    ];
    for (entrypoint, cmd, replaced, args, want) in table {
        let case = Case::config(|c| {
            c.set_entrypoint(entrypoint.map(strings))
                .set_cmd(cmd.map(strings));
        });
        let request = asked(|r| {
            r.args = strings(args);
            r.entrypoint = replaced.map(strings);
        });
        match want {
            Some(want) => assert_eq!(case.process(&request).args(), &some(want)),
            None => case.refuses(&request, "args", "", "No command specified"),
        }
    }
}

#[test]
fn the_host_has_a_shell() {
    let request = asked(|r| r.args.clear());
    assert_eq!(
        Case::default().process(&request).args(),
        &some(&["/bin/sh"])
    );
    let request = asked(|r| {
        r.args.clear();
        r.entrypoint = some(&["id"]);
    });
    assert_eq!(Case::default().process(&request).args(), &some(&["id"]));
}

#[test]
fn environment() {
    let path = format!("PATH={}", crate::spec::process::DEFAULT_PATH);
    let id = "HOSTNAME=0123456789ab";
    #[allow(clippy::type_complexity, reason = "a table")]
    let table: [(bool, &[&str], &[&str], &[&str]); 8] = [
        (false, &[], &[], &[&path, id]),
        (true, &[], &[], &[&path, id, "TERM=xterm"]),
        (true, &[], &["TERM=dumb"], &[&path, id, "TERM=dumb"]),
        (false, &["PATH=/i", "A=1"], &[], &["PATH=/i", id, "A=1"]),
        (false, &["A=1"], &["A=2", "B="], &[&path, id, "A=2", "B="]),
        (false, &["A=1"], &["A"], &[&path, id]),
        (false, &[], &["PATH", "A=x=y"], &[id, "A=x=y"]),
        (false, &[], &["A=1", "A=2"], &[&path, id, "A=2"]),
    ];
    for (tty, image, caller, want) in table {
        let case = Case::config(|c| _ = c.set_env(some(image)));
        let request = asked(|r| {
            r.tty = tty;
            r.env = strings(caller);
        });
        assert_eq!(
            case.process(&request).env(),
            &some(want),
            "{image:?} {caller:?}"
        );
    }
    let case = Case::default();
    case.refuses(&asked(|r| r.env = strings(&["=x"])), "env", "=x", "name");
    case.refuses(&asked(|r| r.env = strings(&[""])), "env", "", "name");
    case.refuses(&asked(|r| r.env = strings(&["A=\0"])), "env", "A=\0", "NUL");
    case.refuses(&asked(|r| r.args = strings(&["a\0"])), "args", "a\0", "NUL");
}

#[test]
fn working_directory() {
    for (image, caller, want) in [
        (None, None, "/"),
        (Some(""), None, "/"),
        (Some("/i"), None, "/i"),
        (Some("/i"), Some("/c"), "/c"),
        (Some("/i"), Some(""), "/i"),
    ] {
        let case = Case::config(|c| _ = c.set_working_dir(image.map(str::to_owned)));
        let request = asked(|r| r.workdir = caller.map(str::to_owned));
        assert_eq!(
            case.process(&request).cwd(),
            Path::new(want),
            "{image:?} {caller:?}"
        );
    }
    for bad in ["x", "./x", "/a\0"] {
        let request = asked(|r| r.workdir = Some(bad.into()));
        Case::default().refuses(&request, "workdir", bad, "absolute path");
    }
}

#[test]
fn users_are_looked_up_where_the_program_runs() {
    for (image, caller, want) in [
        (None, None, ""),
        (Some("www"), None, "www"),
        (Some("www"), Some("1000:1000"), "1000:1000"),
        (Some("www"), Some(""), "www"),
        (None, Some("0"), "0"),
    ] {
        let case = Case::config(|c| _ = c.set_user(image.map(str::to_owned)));
        let request = asked(|r| r.user = caller.map(str::to_owned));
        let user = case.process(&request).user().clone();
        assert_eq!(
            user.username().as_deref(),
            Some(want),
            "{image:?} {caller:?}"
        );
    }
}

#[test]
fn a_terminal_has_the_size_asked_for() {
    for (tty, size, want) in [
        (false, None, None),
        (false, Some((24, 80)), None),
        (true, None, None),
        (true, Some((24, 80)), Some((24, 80))),
    ] {
        let request = asked(|r| (r.tty, r.console_size) = (tty, size));
        let process = Case::default().process(&request);
        assert_eq!(process.terminal(), Some(tty));
        let got = process.console_size().map(|s| (s.height(), s.width()));
        assert_eq!(got, want, "{tty} {size:?}");
    }
}

#[test]
fn badness() {
    for (asked_for, engine, want) in [
        (None, 0, None),
        (None, 300, None),
        (None, -900, Some(0)),
        (Some(-1000), 0, Some(-1000)),
        (Some(1000), -900, Some(1000)),
    ] {
        let mut case = Case::default();
        case.host.oom_score_adj = engine;
        let request = asked(|r| r.oom_score_adj = asked_for);
        assert_eq!(
            case.process(&request).oom_score_adj(),
            want,
            "{asked_for:?} {engine}"
        );
    }
    for bad in [-1001, 1001] {
        let request = asked(|r| r.oom_score_adj = Some(bad));
        Case::default().refuses(&request, "oom_score_adj", &bad.to_string(), "[-1000, 1000]");
    }
}

fn limit(name: &str, soft: i64, hard: i64) -> Ulimit {
    Ulimit {
        name: name.into(),
        soft,
        hard,
    }
}

#[test]
fn resource_limits() {
    let names = [
        ("core", Limit::RlimitCore),
        ("cpu", Limit::RlimitCpu),
        ("data", Limit::RlimitData),
        ("fsize", Limit::RlimitFsize),
        ("locks", Limit::RlimitLocks),
        ("memlock", Limit::RlimitMemlock),
        ("msgqueue", Limit::RlimitMsgqueue),
        ("nice", Limit::RlimitNice),
        ("nofile", Limit::RlimitNofile),
        ("nproc", Limit::RlimitNproc),
        ("rss", Limit::RlimitRss),
        ("rtprio", Limit::RlimitRtprio),
        ("rttime", Limit::RlimitRttime),
        ("sigpending", Limit::RlimitSigpending),
        ("stack", Limit::RlimitStack),
    ];
    let request = asked(|r| r.ulimits = names.iter().map(|(n, _)| limit(n, 1, -1)).collect());
    let limits = Case::default().process(&request).rlimits().clone().unwrap();
    let got: Vec<_> = limits
        .iter()
        .map(|l| (l.typ(), l.soft(), l.hard()))
        .collect();
    let want: Vec<_> = names.iter().map(|(_, typ)| (*typ, 1, u64::MAX)).collect();
    assert_eq!(got, want);
}

#[test]
fn the_last_of_two_limits_counts() {
    let two = [
        limit("nofile", 1, 1),
        limit("core", 0, 0),
        limit("nofile", 2, 3),
    ];
    let request = asked(|r| r.ulimits = two.into());
    let limits = Case::default().process(&request).rlimits().clone().unwrap();
    let got: Vec<_> = limits
        .iter()
        .map(|l| (l.typ(), l.soft(), l.hard()))
        .collect();
    assert_eq!(
        got,
        [(Limit::RlimitCore, 0, 0), (Limit::RlimitNofile, 2, 3)]
    );
}

#[test]
fn wrong_limits() {
    for (bad, value, why) in [
        (limit("files", 1, 1), "files=1:1", "unknown limit"),
        (limit("as", 1, 1), "as=1:1", "unknown limit"),
        (limit("core", 2, 1), "core=2:1", "above the hard limit"),
        (limit("core", -1, 1), "core=-1:1", "above the hard limit"),
        (limit("core", -2, 1), "core=-2:1", "must be -1"),
    ] {
        let request = asked(|r| r.ulimits = vec![bad]);
        Case::default().refuses(&request, "ulimit", value, why);
    }
}

fn base() -> plan::Process {
    plan::Process {
        args: strings(&["sleep"]),
        env: strings(&["A=1", "HOME=/image"]),
        cwd: "/w".into(),
        user: plan::User::Lookup {
            user: "www".into(),
            groups: strings(&["audio"]),
        },
        init: true,
        ..plan::Process::default()
    }
}

#[test]
fn exec_keeps_what_it_does_not_change() {
    let request = ExecRequest {
        args: strings(&["id"]),
        ..ExecRequest::default()
    };
    let want = plan::Process {
        args: strings(&["id"]),
        init: false,
        ..base()
    };
    assert_eq!(compile_exec(&base(), &request, 0xff), want);
}

#[test]
fn exec_as_another_user() {
    let request = ExecRequest {
        args: strings(&["id"]),
        env: strings(&["A=2", "HOME=/mine"]),
        workdir: Some("/tmp".into()),
        user: Some("0".into()),
        ..ExecRequest::default()
    };
    let process = compile_exec(&base(), &request, 0xff);
    assert_eq!(process.env, ["A=2", "HOME=/mine"]);
    let terminal = ExecRequest {
        tty: true,
        ..request.clone()
    };
    let process_there = compile_exec(&base(), &terminal, 0xff);
    assert_eq!(process_there.env, ["A=2", "HOME=/mine", "TERM=xterm"]);
    assert_eq!(process.cwd, "/tmp");
    // --group-add is the container's, whoever runs in it.
    let want = plan::User::Lookup {
        user: "0".into(),
        groups: strings(&["audio"]),
    };
    assert_eq!(process.user, want);
}
