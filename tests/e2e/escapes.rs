//! A container cannot overwrite our executable, use our files, or reach out of its root: the kinds of known escapes.

use crate::support::{Layer, Recipe, Registry, Stage, busybox, run};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// A registry with one image, and its reference. The image is `recipe`, or busybox.
struct Served {
    _registry: Registry,
    reference: String,
    _dir: tempfile::TempDir,
}

fn serve(layer: Layer) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let reference = registry.push(&Recipe::new().layer(layer).write(dir.path()), "hostile:x");
    Served {
        _registry: registry,
        reference,
        _dir: dir,
    }
}

/// What must be the same before and after.
fn state_of(program: &Path) -> (u64, i64, i64, Vec<u8>) {
    let data = fs::metadata(program).unwrap();
    (
        data.ino(),
        data.mtime(),
        data.mtime_nsec(),
        fs::read(program).unwrap(),
    )
}

/// CVE-2019-5736: the container gets hold of the runtime's executable through /proc and writes to it.
#[test]
fn our_executable_cannot_be_overwritten() {
    // A script whose interpreter is "whoever executes me": the program of ours that enters the container.
    let served = serve(
        Layer::busybox()
            .file("evil", 0o755, b"#!/proc/self/exe\n")
            .file("bin/attack", 0o755, ATTACK.as_bytes()),
    );
    for stage in Stage::each() {
        let before = state_of(stage.program());
        for options in [
            &[] as &[&str],
            &["--init"],
            &["--privileged"],
            &["--privileged", "--init"],
        ] {
            for command in [&["/evil"] as &[&str], &["attack"]] {
                let mut arguments = vec!["run", "--rm"];
                arguments.extend(options);
                arguments.push(&served.reference);
                arguments.extend(command);
                let ran = stage.run(arguments);
                assert!(!ran.stdout.contains("WRITTEN"), "{ran}");
                assert!(!ran.stderr.contains("panicked"), "{ran}");
                assert!(
                    state_of(stage.program()) == before,
                    "the program was changed by {ran}"
                );
            }
        }
    }
}

/// The same when we enter a running container: it waits for us and holds our executable open until we are gone.
#[test]
fn our_executable_cannot_be_overwritten_by_a_container_that_we_enter() {
    // The library in this very process: this test's executable is what enters.
    let executable = std::env::current_exe().unwrap();
    let served = serve(
        Layer::busybox()
            .libraries_of(&executable)
            .file("evil", 0o755, b"#!/proc/self/exe\n")
            .file("bin/ambush", 0o755, AMBUSH.as_bytes()),
    );
    let stage = Stage::new();
    let before = state_of(&executable);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let seen = runtime.block_on(async {
        let engine = container_core::Engine::builder()
            .root(stage.root())
            .run_root(stage.run_root())
            .open()
            .unwrap();
        let container = engine
            .container(&served.reference)
            .arg("ambush")
            .start()
            .await
            .unwrap();
        for _ in 0..30 {
            for command in ["/evil", "true", "/bin/nosuch"] {
                // How it ends is the container's business.
                let _ = container.exec([command]).output().await;
            }
        }
        container.exec(["cat", "/seen"]).output().await.unwrap()
    });
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(!seen.contains("WRITTEN"), "{seen}");
    assert!(
        state_of(&executable) == before,
        "this program was changed: {seen}"
    );
}

/// Looks for processes that are not its own and tries to write to their executables, also after they ended.
const AMBUSH: &str = r#"#!/bin/sh
: >/seen
while :; do
    for pid in /proc/[0-9]*; do
        case $(readlink $pid/exe) in /bin/busybox|'') continue;; esac
        # In a shell of its own: one that cannot open a file for itself ends.
        (
            exec 3<$pid/exe
            echo "met $(readlink /proc/self/fd/3)" >>/seen
            for try in 1 2 3 4 5 6 7 8; do
                ( echo x >>/proc/self/fd/3 ) && echo WRITTEN >>/seen
            done
        ) 2>/dev/null
    done
done
"#;

/// Tries to write to the executable of every process it sees, and to those that it held open before.
const ATTACK: &str = r#"#!/bin/sh
for pid in /proc/[0-9]*; do
    case $(readlink $pid/exe) in /bin/busybox|'') continue;; esac
    # In a shell of its own: one that cannot open a file for itself ends.
    (
        exec 3<$pid/exe
        for file in $pid/exe /proc/self/fd/3 /dev/fd/3; do
            ( echo x >>$file ) && echo "WRITTEN $file"
        done
        mount -o remount,rw,bind $pid/exe
        mount -o remount,rw /
        ( echo x >>/proc/self/fd/3 ) && echo "WRITTEN after a remount"
    ) 2>/dev/null
done
true
"#;

/// CVE-2024-21626: a file of ours is still open inside, and its path leads out.
#[test]
fn no_file_of_ours_is_open_inside() {
    let served = serve(Layer::busybox());
    for stage in Stage::each() {
        // Files that whoever starts us has left open, as a shell or a service manager does.
        let list = "for f in /proc/1/fd/*; do [ -L $f ] && echo ${f##*/}; done; true";
        let inner = stage.mini_docker(["run", "--rm", &served.reference, "sh", "-c", list]);
        let mut outer = stage.command("sh");
        outer.args([
            "-c",
            "exec 7</ 8</etc/passwd 9>/dev/null; exec \"$@\"",
            "sh",
        ]);
        run(outer.arg(inner.get_program()).args(inner.get_args()))
            .ok()
            .prints("0\n1\n2\n");

        for number in 0..24 {
            for path in [
                format!("/proc/self/fd/{number}"),
                format!("/proc/1/fd/{number}"),
                format!("/dev/fd/{number}"),
            ] {
                let script = "pwd -P; ls -d ../../../../../../../../bin/busybox; ls -id / . ; cat ./etc/hostname ./../etc/hostname 2>/dev/null";
                let ran = stage.run([
                    "run",
                    "--rm",
                    "-h",
                    "inside",
                    "-w",
                    &path,
                    &served.reference,
                    "sh",
                    "-c",
                    script,
                ]);
                assert!(
                    ran.code() != 0 || ran.stdout.contains("/bin/busybox"),
                    "the working directory is outside: {ran}"
                );
                assert!(!ran.stdout.contains("(unreachable)"), "{ran}");
            }
        }
    }
}

/// CVE-2025-31133 and its kin: the image replaces what masks /proc with something else.
#[test]
fn masks_hold_against_the_image() {
    for (what, layer) in [
        (
            "dev/null is a link",
            busybox_without_dev()
                .dir("dev", 0o755)
                .symlink("dev/null", "/proc/sys/kernel/core_pattern"),
        ),
        (
            "dev/null is a file",
            busybox_without_dev()
                .dir("dev", 0o755)
                .file("dev/null", 0o666, b"mine"),
        ),
        (
            "dev is a link",
            busybox_without_dev().symlink("dev", "/proc"),
        ),
        (
            "dev/console is a link",
            busybox_without_dev()
                .dir("dev", 0o755)
                .symlink("dev/console", "/proc/sys/kernel/core_pattern"),
        ),
        (
            "dev/pts/0 is a link",
            busybox_without_dev()
                .dir("dev", 0o755)
                .dir("dev/pts", 0o755)
                .symlink("dev/pts/0", "/proc/sysrq-trigger"),
        ),
    ] {
        let served = serve(layer);
        let core_pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
        for stage in Stage::each() {
            let script = "
                [ -c /dev/null ] && [ $(stat -c %t:%T /dev/null) = 1:3 ] || echo 'null is another'
                for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats; do
                    [ ! -f $f ] && [ ! -c $f ] || [ $(wc -c <$f) = 0 ] || echo readable $f; done
                for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq/x; do
                    ( echo '|/x' >$f ) 2>/dev/null && echo writable $f; done
                mount | grep -q ' /proc/sys .*ro,' || echo '/proc/sys is not read-only'
                true";
            let ran = stage.run(["run", "--rm", &served.reference, "sh", "-c", script]);
            // Refusing such an image is right too.
            if ran.code() != 125 {
                assert_eq!((ran.code(), ran.stdout.as_str()), (0, ""), "{what}: {ran}");
            }
        }
        assert_eq!(
            fs::read("/proc/sys/kernel/core_pattern").unwrap(),
            core_pattern,
            "{what}"
        );
    }
}

/// busybox without its own /dev, which a later entry of the same layer could not replace.
fn busybox_without_dev() -> Layer {
    Layer::busybox_without(&["dev"])
}

/// Links in an image point at the host by absolute path and by climbing: what is mounted or written through them
/// stays inside.
#[test]
fn links_in_an_image_lead_nowhere_out() {
    for stage in Stage::each() {
        let victim = victim_of(&stage);
        let path = victim.to_str().unwrap();
        let up = format!("../../../../../../../../../..{path}");
        let served = serve(
            Layer::busybox_without(&["etc", "proc", "sys"])
                .symlink("absolute", path)
                .symlink("climbing", &up)
                // Where hosts, hostname, resolv.conf, passwd, proc and sys go.
                .symlink("etc", path)
                .symlink("proc", path)
                .symlink("sys", &up),
        );
        let payload = stage.file("payload", b"payload");
        for target in [
            "/absolute",
            "/absolute/new",
            "/climbing/new/deeper",
            "/etc/new",
            "/absolute/../up",
        ] {
            for source in [
                payload.to_str().unwrap(),
                payload.parent().unwrap().to_str().unwrap(),
            ] {
                let volume = format!("{source}:{target}");
                let ran = stage.run(["run", "--rm", "-v", &volume, &served.reference, "true"]);
                assert!(matches!(ran.code(), 0 | 125), "{ran}");
                assert_untouched(&victim, &ran.to_string());
            }
            let ran = stage.run([
                "run",
                "--rm",
                "--tmpfs",
                target,
                &served.reference,
                "sh",
                "-c",
                "echo x >/absolute/x",
            ]);
            assert_untouched(&victim, &ran.to_string());
            let ran = stage.run([
                "run",
                "--rm",
                "-w",
                target,
                &served.reference,
                "sh",
                "-c",
                "echo x >x",
            ]);
            assert_untouched(&victim, &ran.to_string());
        }
    }
}

fn victim_of(stage: &Stage) -> PathBuf {
    let victim = stage.dir().join("work/victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("hosts"), "untouched").unwrap();
    // Anybody may write there: it is not permissions that protect it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&victim, open).unwrap();
    victim
}

#[track_caller]
fn assert_untouched(victim: &Path, by: &str) {
    let names: Vec<_> = fs::read_dir(victim)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["hosts"],
        "the host's directory was written to by {by}"
    );
    assert_eq!(
        fs::read(victim.join("hosts")).unwrap(),
        b"untouched",
        "the host's file was written to by {by}"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(victim.to_str().unwrap()),
        "something is mounted on the host by {by}"
    );
}

/// CVE-2021-30465 and its kin: a neighbour that shares a volume exchanges a directory for a link while we mount below it.
#[test]
fn links_exchanged_while_we_mount_lead_nowhere_out() {
    for stage in Stage::each() {
        let victim = victim_of(&stage);
        let shared = stage.dir().join("work/shared");
        fs::create_dir_all(shared.join("way/deep")).unwrap();
        symlink(&victim, shared.join("other")).unwrap();
        let _ = run(Command::new("chown")
            .args(["-R", "--reference"])
            .arg(stage.root())
            .arg(&shared));
        let payload = stage.file("payload", b"payload");
        let served = serve(Layer::busybox());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stopper = StopOnDrop(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = rustix::fs::CWD;
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(
                        at,
                        shared.join("way"),
                        at,
                        shared.join("other"),
                        flags,
                    )
                    .unwrap();
                }
            });
            let volume = format!("{}:/shared", shared.display());
            let below = format!("{}:/shared/way/deep/new", payload.display());
            for _ in 0..20 {
                let ran = stage.run([
                    "run",
                    "--rm",
                    "-v",
                    &volume,
                    "-v",
                    &below,
                    &served.reference,
                    "true",
                ]);
                assert!(matches!(ran.code(), 0 | 125), "{ran}");
                assert_untouched(&victim, &ran.to_string());
            }
        });
    }
}

/// Ends the exchanges also when an assertion fails: the scope waits for its thread.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The other ways up: parents, the old root, namespaces of the host, devices.
#[test]
fn ways_up_that_are_closed() {
    let registry = Registry::start();
    let reference = registry.push(&busybox(), "busybox:x");
    for stage in Stage::each() {
        let secret = stage.file("secret", b"secret");
        let secret = secret.to_str().unwrap();
        let script = format!(
            "for up in / ../../../../../.. /proc/1/root /proc/1/cwd /proc/self/root /proc/self/cwd/../../../../..; do
                 cat $up{secret} 2>/dev/null; done
             chroot .. cat {secret} 2>/dev/null
             mkdir -p x && chroot x true 2>/dev/null; cat ../../../..{secret} 2>/dev/null
             mknod disk b 8 0 2>/dev/null && head -c 1 disk 2>/dev/null && echo disk
             mknod mem c 1 1 2>/dev/null && head -c 1 mem 2>/dev/null && echo mem
             mknod kmsg c 1 11 2>/dev/null && head -c 1 kmsg 2>/dev/null && echo kmsg
             mount -t proc proc /mnt 2>/dev/null && echo mounted proc
             mount -t cgroup cgroup /mnt -o memory 2>/dev/null && echo mounted cgroup
             unshare -m true 2>/dev/null && echo unshared
             ls /proc | grep -c '^[0-9]' | grep -qE '^[1-9]$' || echo 'sees other processes'
             true"
        );
        stage
            .run(["run", "--rm", &reference, "sh", "-c", &script])
            .ok()
            .prints("");
    }
}
