//! Whatever is wrong is said, ends with the code Docker's users know (125 ours, 126 not executable, 127 not found) and
//! leaves nothing.

use crate::support::{
    Layer, Layout, Ran, Recipe, Registry, Stage, busybox, debian, is_root, not_run,
};
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

fn run_in(stage: &Stage, reference: &str, options: &[&str], command: &[&str]) -> Ran {
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(options);
    arguments.push(reference);
    arguments.extend(command);
    let ran = stage.run(arguments);
    stage.assert_clean(Duration::from_millis(500));
    ran
}

#[test]
fn settings_that_make_no_sense() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["-u", "nosuch"], &["unable to find user nosuch"]),
        (&["-u", "99999999999"], &["user", "99999999999"]),
        (&["-u", "root:nosuch"], &["unable to find group nosuch"]),
        (&["-w", "relative"], &["relative", "absolute"]),
        (&["-v", "rel/x:/y"], &["rel/x", "absolute"]),
        (&["-v", "/tmp:relative"], &["relative", "absolute"]),
        (
            &["--mount", "type=bind,source=/nosuch,target=/x"],
            &["/nosuch", "exist"],
        ),
        (&["--mount", "type=nosuch,target=/x"], &["nosuch"]),
        (&["--tmpfs", "/x:nosuch"], &["tmpfs", "nosuch"]),
        (&["--tmpfs", "/x:remount"], &["tmpfs", "remount"]),
        (&["-m", "1k"], &["memory", "minimum"]),
        (&["-m", "9x"], &["9x"]),
        (&["--cpus", "100000"], &["cpus"]),
        (&["--cap-add", "NOSUCH"], &["NOSUCH"]),
        (&["--ulimit", "nofile=5:2"], &["nofile", "5", "2"]),
        (&["--ulimit", "nosuch=5"], &["nosuch"]),
        (&["--security-opt", "seccomp=/nosuch"], &["/nosuch"]),
        (&["--security-opt", "nosuch=1"], &["nosuch"]),
        (&["--network", "nosuch"], &["nosuch"]),
        (&["--name", "/bad name"], &["/bad name"]),
        (&["--nosuchflag"], &["nosuchflag"]),
        (&["--platform", "nosuch/nosuch/no/such"], &["nosuch"]),
        (&["--env-file", "/nosuch"], &["/nosuch"]),
    ];
    for stage in Stage::each() {
        for (options, words) in cases {
            run_in(&stage, "host", options, &["true"])
                .exits(125)
                .complains(words.iter().copied());
        }
    }
}

#[test]
fn names_that_are_none() {
    for stage in Stage::each() {
        run_in(&stage, "busybox/UPPER", &[], &["true"])
            .exits(125)
            .complains(["invalid reference", "lowercase"]);
        run_in(&stage, "a b", &[], &["true"])
            .exits(125)
            .complains(["invalid reference"]);
        run_in(&stage, "nosuch:x", &["--pull", "never"], &["true"])
            .exits(125)
            .complains(["no such image", "nosuch:x"]);
        stage
            .run(["rmi", "nosuch:x"])
            .exits(1)
            .complains(["no such image", "nosuch:x"]);
        stage
            .run(["inspect", "nosuch"])
            .exits(1)
            .complains(["no such", "nosuch"]);
        stage.run(["save", "nosuch"]).exits(1).complains(["nosuch"]);
        stage.run(["nosuchverb"]).complains(["nosuchverb"]);
    }
}

#[test]
fn commands_that_cannot_be_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut foreign = elf();
    // A machine that Linux runs nowhere.
    foreign[18..20].copy_from_slice(&0x1234_u16.to_le_bytes());
    let layer = Layer::busybox()
        .file("bin/foreign", 0o755, &foreign)
        .file(
            "bin/no-interpreter",
            0o755,
            &elf_with_interpreter("/lib/ld-nosuch.so.1"),
        )
        .file("bin/no-shebang", 0o755, b"#!/bin/nosuch-shell\n")
        .file("bin/plain", 0o644, b"text")
        .file(
            "bin/garbage",
            0o755,
            b"\0\x01\x02 neither a program nor a script",
        )
        .symlink("bin/loop", "loop");
    let image = Recipe::new().layer(layer).write(dir.path());
    let registry = Registry::start();
    let reference = registry.push(&image, "commands:x");
    let cases: &[(&str, i32, &[&str])] = &[
        ("nosuch", 127, &["nosuch", "not found"]),
        ("/bin/nosuch", 127, &["/bin/nosuch", "no such file"]),
        ("/etc", 126, &["/etc"]),
        ("/bin/plain", 126, &["/bin/plain", "permission denied"]),
        ("/bin/foreign", 126, &["/bin/foreign", "exec format error"]),
        ("/bin/garbage", 126, &["/bin/garbage", "exec format error"]),
        ("/bin/loop", 126, &["/bin/loop"]),
        (
            "/bin/no-interpreter",
            127,
            &["/bin/no-interpreter", "/lib/ld-nosuch.so.1"],
        ),
        (
            "/bin/no-shebang",
            127,
            &["/bin/no-shebang", "/bin/nosuch-shell"],
        ),
    ];
    for stage in Stage::each() {
        for (command, code, words) in cases {
            run_in(&stage, &reference, &[], &[command])
                .exits(*code)
                .complains(words.iter().copied());
        }
    }
}

/// The head of a program of this machine's kind, with no segments.
fn elf() -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "x86_64") {
        62
    } else {
        183
    };
    let mut head = vec![0_u8; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[16] = 2; // executable
    head[18..20].copy_from_slice(&machine.to_le_bytes());
    head[20] = 1; // version
    head[32] = 64; // program headers follow
    head[52] = 64; // size of this head
    head[54] = 56; // size of a program header
    head
}

fn elf_with_interpreter(path: &str) -> Vec<u8> {
    let mut bytes = elf();
    bytes[56] = 1; // one program header
    let mut header = vec![0_u8; 56];
    header[0] = 3; // PT_INTERP
    header[4] = 4; // readable
    let size = (path.len() + 1) as u64;
    header[8..16].copy_from_slice(&120_u64.to_le_bytes()); // offset: after both heads
    header[32..40].copy_from_slice(&size.to_le_bytes());
    header[40..48].copy_from_slice(&size.to_le_bytes());
    bytes.extend(header);
    bytes.extend(path.as_bytes());
    bytes.push(0);
    bytes
}

#[test]
fn an_image_for_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let image = Recipe::new()
        .layer(Layer::busybox())
        .architecture("s390x")
        .write(dir.path());
    let reference = registry.push(&image, "foreign:x");
    let stage = Stage::new();
    run_in(&stage, &reference, &["--platform", "linux/arm"], &["true"])
        .exits(125)
        .complains(["linux/arm"]);
}

/// Damages what the registry serves, and expects the pull to say so, naming `words`, and to leave no blob that is not
/// what its name says; after repair the same store pulls.
fn damaged(words: &[&str], damage: impl Fn(&Registry, &Layout)) {
    let registry = Registry::start();
    let image = busybox();
    let reference = registry.push(&image, "busybox:one");
    damage(&registry, &image);
    for stage in Stage::each() {
        stage
            .run(["pull", &reference])
            .exits(1)
            .complains(words.iter().copied());
        run_in(&stage, &reference, &[], &["true"])
            .exits(125)
            .complains(words.iter().copied());
        assert_eq!(stage.run(["images", "-q"]).ok().text(), "");
        restore(&registry, &image);
        stage.run(["pull", &reference]).ok();
        run_in(&stage, &reference, &[], &["echo", "hi"])
            .ok()
            .prints("hi\n");
        damage(&registry, &image);
    }
}

fn restore(registry: &Registry, image: &Layout) {
    let manifest = image.manifest();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    for digest in [layer, &image.id(), &image.digest()] {
        fs::copy(image.blob(digest), registry.blob(digest)).unwrap();
    }
}

fn layer_of(image: &Layout) -> String {
    image.manifest()["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Writes over some bytes in the middle.
fn scratch(path: &Path) {
    let size = fs::metadata(path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(size / 2)).unwrap();
    file.write_all(b"scratched").unwrap();
}

fn truncate(path: &Path) {
    let size = fs::metadata(path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size / 2)
        .unwrap();
}

#[test]
fn a_layer_that_is_not_its_digest() {
    damaged(&["sha256:"], |registry, image| {
        scratch(&registry.blob(&layer_of(image)))
    });
}

#[test]
fn a_layer_that_ends_early() {
    damaged(&["sha256:"], |registry, image| {
        truncate(&registry.blob(&layer_of(image)))
    });
}

#[test]
fn a_layer_that_is_gone() {
    damaged(&["sha256:"], |registry, image| {
        fs::remove_file(registry.blob(&layer_of(image))).unwrap()
    });
}

#[test]
fn a_config_that_is_not_its_digest() {
    damaged(&["sha256:"], |registry, image| {
        scratch(&registry.blob(&image.id()))
    });
}

#[test]
fn a_manifest_that_is_none() {
    damaged(&["busybox"], |registry, image| {
        fs::write(registry.blob(&image.digest()), b"{not json").unwrap()
    });
}

#[test]
fn images_that_are_not_there() {
    let registry = Registry::start();
    let stage = Stage::new();
    let missing = registry.reference("nosuch:x");
    stage
        .run(["pull", &missing])
        .exits(1)
        .complains([&*missing]);
    run_in(&stage, &missing, &[], &["true"])
        .exits(125)
        .complains([&*missing]);
    let address = registry.address().to_owned();
    drop(registry);
    // Nobody listens there now.
    stage
        .run(["pull", &format!("{address}/nosuch:x")])
        .exits(1)
        .complains([&*address]);
}

#[test]
fn a_layer_that_is_no_archive() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let image = Recipe::new().raw_layer(&[0x5a; 4096]).write(dir.path());
    let reference = registry.push(&image, "garbage:x");
    for stage in Stage::each() {
        stage
            .run(["pull", &reference])
            .exits(1)
            .complains(["sha256:"]);
        run_in(&stage, &reference, &[], &["true"]).exits(125);
        assert_eq!(stage.run(["images", "-q"]).ok().text(), "");
    }
}

#[test]
fn archives_that_are_none() {
    for stage in Stage::each() {
        let garbage = stage.file("garbage.tar", &[0x5a; 4096]);
        let empty = stage.file("empty.tar", b"");
        for file in [
            garbage.to_str().unwrap(),
            empty.to_str().unwrap(),
            "/nosuch.tar",
        ] {
            stage.run(["load", "-i", file]).exits(1).complains([file]);
        }
        stage
            .run_with_input(["load"], &[0x5a; 4096])
            .exits(1)
            .complains([]);
        assert_eq!(stage.run(["images", "-q"]).ok().text(), "");
    }
}

#[test]
fn a_disk_that_is_full() {
    if !is_root() {
        not_run!("mounting a small file system needs root");
    }
    let registry = Registry::start();
    let reference = registry.push(&debian(), "debian:one");
    let stage = Stage::new();
    let root = stage.root();
    let root = root.to_str().unwrap();
    crate::support::run(stage.command("mount").args([
        "-t",
        "tmpfs",
        "-o",
        "size=24m,mode=755",
        "tmpfs",
        root,
    ]))
    .ok();
    let pull = stage.run(["pull", &reference]);
    let run = stage.run(["run", "--rm", &reference, "true"]);
    let files = crate::support::run(stage.command("du").args(["-sk", root])).ok();
    crate::support::run(stage.command("umount").arg(root)).ok();
    pull.exits(1).complains(["no space left"]);
    run.exits(125).complains(["no space left"]);
    let kilobytes: u64 = files
        .stdout
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        kilobytes < 24 * 1024,
        "a failed pull keeps the disk full: {kilobytes} kB"
    );
}

#[test]
fn limits_that_cannot_be_applied() {
    let stage = Stage::rootless();
    // Nothing is delegated to this user here: no session, no systemd.
    let ran = run_in(&stage, "host", &["-m", "64m"], &["true"]);
    if ran.code() == 0 {
        not_run!("this machine delegates a memory controller to ordinary users");
    }
    let advice = [
        "control group",
        "run as root",
        "delegated",
        "leave the limit out",
    ];
    ran.exits(125)
        .complains(["cannot limit memory: "])
        .complains(advice);
    let options = ["--pids-limit", "10", "--cpu-shares", "5"];
    run_in(&stage, "host", &options, &["true"])
        .exits(125)
        .complains(["cannot limit cpu_shares, pids: "])
        .complains(advice);
    // No limit is none.
    run_in(&stage, "host", &["--pids-limit", "-1"], &["true"]).ok();
}
