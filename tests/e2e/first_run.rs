//! The first thing anybody does, as root and as an ordinary user, on cgroup v1 and v2; and nothing is left of it.

use crate::support::{Stage, Vm, VmKind, not_run};
use std::time::Duration;

#[test]
fn host_says_hi_and_leaves_nothing() {
    for stage in Stage::each() {
        let ran = stage
            .run(["run", "--rm", "host", "echo", "hi"])
            .ok()
            .prints("hi\n");
        assert_eq!(ran.stderr, "", "nothing else is said: {ran}");
        // Not a moment later: what `--rm` promised is done when the command ends.
        stage.assert_clean(Duration::ZERO);
    }
}

#[test]
fn exit_codes_are_the_commands() {
    for stage in Stage::each() {
        stage
            .run(["run", "--rm", "host", "sh", "-c", "exit 42"])
            .exits(42);
        // With an init above it: the kernel spares a namespace's first process its own signals.
        stage
            .run([
                "run",
                "--rm",
                "--init",
                "host",
                "sh",
                "-c",
                "kill -TERM $$; sleep 5",
            ])
            .exits(143);
        stage
            .run([
                "run",
                "--rm",
                "--init",
                "host",
                "sh",
                "-c",
                "kill -KILL $$; sleep 5",
            ])
            .exits(137);
    }
}

#[test]
fn output_is_whole_and_streams_stay_apart() {
    for stage in Stage::each() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo out$i; i=$((i+1)); done; echo err >&2";
        let ran = stage.run(["run", "--rm", "host", "sh", "-c", script]).ok();
        assert_eq!(ran.stdout.lines().count(), 20000);
        assert_eq!(ran.stdout.lines().last(), Some("out19999"));
        assert_eq!(ran.stderr, "err\n");
    }
}

#[test]
fn input_reaches_the_command_only_when_asked() {
    for stage in Stage::each() {
        let input = "line\n".repeat(100_000);
        let ran = stage
            .run_with_input(["run", "--rm", "-i", "host", "wc", "-c"], input.as_bytes())
            .ok();
        assert_eq!(ran.text(), "500000");
        stage
            .run_with_input(["run", "--rm", "host", "cat"], b"not for it")
            .ok()
            .prints("");
    }
}

#[test]
fn what_a_container_writes_is_its_own() {
    for stage in Stage::each() {
        let script =
            "echo mine >/etc/md-mine && cat /etc/md-mine; mkdir /usr/md-mine && ls -d /usr/md-mine";
        stage
            .run(["run", "--rm", "host", "sh", "-c", script])
            .ok()
            .prints("mine\n/usr/md-mine\n");
        stage
            .run(["run", "--rm", "host", "ls", "/etc/md-mine", "/usr/md-mine"])
            .exits(2);
        assert!(!std::path::Path::new("/etc/md-mine").exists());
        // Files of the machine's root belong to nobody in an ordinary user's container, which may not remove them.
        let remove = "rm -rf /usr/share/doc; test ! -e /usr/share/doc";
        let ran = stage.run(["run", "--rm", "host", "sh", "-c", remove]);
        assert!(stage.is_rootless() || ran.code() == 0, "{ran}");
        assert!(std::path::Path::new("/usr/share/doc").exists());
    }
}

#[test]
fn host_hides_what_is_nobodys_business() {
    for stage in Stage::each() {
        let script = "cat /etc/shadow /etc/gshadow /etc/ssh/ssh_host_*_key 2>/dev/null; ls -A /home /root /tmp 2>/dev/null | grep -v :";
        let ran = stage.run(["run", "--rm", "host", "sh", "-c", script]);
        assert_eq!(ran.text(), "", "{ran}");
        let outside = stage.dir().join("work/seen");
        std::fs::write(&outside, "x").unwrap();
        stage
            .run([
                "run",
                "--rm",
                "host",
                "test",
                "-e",
                outside.to_str().unwrap(),
            ])
            .exits(1);
    }
}

/// Runs a container between two looks at the machine, all inside it. The second look waits for what the first run of
/// all brings (a loaded module, a cgroup that is kept).
const IN_A_MACHINE: &str = r#"
set -eu
look() {
    find /sys/fs/cgroup -type d | sort
    sort /proc/self/mountinfo
    ls /sys/class/net
    ps -e -o pid=,comm= | awk '$2 ~ /mini|monitor|echo/'
    find "$HOME/root/containers" "$HOME/run" -type f -size +0 -o -type s 2>/dev/null || true
}
cd "$HOME"
md() { "$MINI_DOCKER" --root "$HOME/root" --run-root "$HOME/run" "$@"; }
md run --rm host true
look >"$HOME/before"
md run --rm host echo hi
look >"$HOME/after"
diff "$HOME/before" "$HOME/after"
"#;

fn in_a_machine(kind: VmKind) {
    let vm = match Vm::find() {
        Ok(vm) => vm,
        Err(why) => not_run!("{why}"),
    };
    for user in ["root", "dev"] {
        vm.shell(kind, user, IN_A_MACHINE).ok().prints("hi\n");
    }
}

#[test]
fn cgroup_v2_with_its_own_kernel_and_systemd() {
    in_a_machine(VmKind::Virtual);
}

#[test]
fn cgroup_v2_on_this_kernel() {
    in_a_machine(VmKind::Native);
}
