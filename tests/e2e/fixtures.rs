//! The fixtures themselves: a test that cannot fail shows nothing.

use crate::support::{
    Docker, Layer, Leaks, Recipe, Registry, Stage, Vm, VmKind, busybox, debian, is_root, not_run,
    run,
};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("md-scratch-")
        .tempdir()
        .unwrap()
}

#[test]
fn leaks_see_each_kind_of_file_and_process() {
    let dir = scratch();
    let leaks = Leaks::watch(dir.path());
    leaks.assert_none(Duration::ZERO);

    fs::create_dir_all(dir.path().join("root/containers/abc")).unwrap();
    fs::create_dir_all(dir.path().join("root/names")).unwrap();
    fs::write(dir.path().join("root/names/name"), "").unwrap();
    let of_container = dir.path().join("run").join("ab".repeat(32));
    fs::create_dir_all(&of_container).unwrap();
    let _socket = UnixListener::bind(dir.path().join("run/a.sock")).unwrap();
    // Known by its arguments, by its working directory, by an open file.
    let sleep = |command: &mut Command| command.stdin(Stdio::null()).spawn().unwrap();
    let open = fs::File::create(dir.path().join("out")).unwrap();
    let mut processes = [
        sleep(
            Command::new("tail")
                .args(["-s", "1", "-F"])
                .arg(dir.path().join("x"))
                .stderr(Stdio::null()),
        ),
        sleep(Command::new("sleep").arg("60").current_dir(dir.path())),
        sleep(Command::new("sleep").arg("60").stdout(open)),
    ];
    let left = leaks.left_after(Duration::ZERO);
    for process in &mut processes {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    for wanted in processes
        .iter()
        .map(|process| format!("process {}:", process.id()))
    {
        assert!(
            left.iter().any(|one| one.starts_with(&wanted)),
            "{wanted} {left:#?}"
        );
    }
    let of_container = of_container.to_str().unwrap();
    for wanted in [
        "root/containers/abc",
        "root/names/name",
        "run/a.sock",
        of_container,
    ] {
        assert!(
            left.iter()
                .any(|one| one.starts_with("file: ") && one.ends_with(wanted)),
            "{wanted} {left:#?}"
        );
    }
}

#[test]
fn leaks_see_processes_by_their_mounts() {
    let dir = scratch();
    fs::create_dir(dir.path().join("on")).unwrap();
    let leaks = Leaks::watch(dir.path());
    // In namespaces of its own, so that it needs no root and leaves no mount to anybody.
    let script = format!(
        "mount -t tmpfs tmpfs {}/on && cd / && exec sleep 60",
        dir.path().display()
    );
    let mut holder = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let wanted = format!("process {}: sleep 60 (its mount ", holder.id());
    let mut left = Vec::new();
    for _ in 0..100 {
        left = leaks.left_after(Duration::ZERO);
        if left.iter().any(|one| one.starts_with(&wanted)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(
        left.iter().any(|one| one.starts_with(&wanted)),
        "{wanted} {left:#?}"
    );
    leaks.assert_none(Duration::from_secs(1));
}

#[test]
fn leaks_see_cgroups_in_every_hierarchy() {
    if !is_root() {
        not_run!("making a cgroup needs root");
    }
    let dir = scratch();
    let name = format!("md-fixture-{}", std::process::id());
    let leaks = Leaks::watch_groups(dir.path(), &name);
    let mounted = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let hierarchies: Vec<&Path> = mounted
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(Path::new)
        .collect();
    // The shapes of a name: one of several below a group, or one by itself.
    let groups = [format!("{name}/left"), format!("{name}-left")];
    for hierarchy in &hierarchies {
        for group in &groups {
            fs::create_dir_all(hierarchy.join(group)).unwrap();
        }
    }
    let left = leaks.left_after(Duration::ZERO);
    for hierarchy in &hierarchies {
        for group in &groups {
            fs::remove_dir(hierarchy.join(group)).unwrap();
        }
        fs::remove_dir(hierarchy.join(&name)).unwrap();
    }
    for hierarchy in &hierarchies {
        for group in &groups {
            let wanted = format!("cgroup: {}", hierarchy.join(group).display());
            assert!(left.contains(&wanted), "{wanted} {left:#?}");
        }
    }
    assert_eq!(left.len(), 2 * hierarchies.len(), "{left:#?}");
}

#[test]
fn a_stage_gives_its_user_what_is_its() {
    for stage in Stage::each() {
        let script = "id -u; id -G; touch \"$HOME/a\" \"$XDG_RUNTIME_DIR/b\" c; pwd";
        let said = run(stage.command("sh").args(["-c", script])).ok();
        let mut lines = said.stdout.lines();
        let (uid, groups) = (lines.next().unwrap(), lines.next().unwrap());
        if stage.is_rootless() {
            assert_ne!(uid, "0", "{said}");
            assert!(
                groups.split(' ').all(|group| group != "0"),
                "root's groups were kept: {said}"
            );
        }
        assert_eq!(lines.next(), stage.dir().join("work").to_str());
        run(stage.command("test").arg("-x").arg(stage.program())).ok();
        assert_eq!(fs::read(stage.file("given", b"text")).unwrap(), b"text");
    }
}

#[test]
fn a_registry_serves_what_skopeo_pushed() {
    let (registry, dir) = (Registry::start(), scratch());
    let layer = Layer::new().dir("etc", 0o755).file("etc/a", 0o644, b"1");
    let image = Recipe::new().layer(layer).write(dir.path());
    let reference = format!("docker://{}", registry.push(&image, "some/thing:one"));
    let seen =
        run(Command::new("skopeo").args(["inspect", "--tls-verify=false", "--raw", &reference]))
            .ok();
    assert_eq!(
        seen.stdout,
        fs::read_to_string(image.blob(&image.digest())).unwrap()
    );
    assert!(registry.blob(&image.id()).exists());
}

#[test]
fn our_images_are_images_to_skopeo() {
    for image in [busybox(), debian()] {
        let copy = scratch();
        let to = format!("dir:{}", copy.path().display());
        // A copy checks every digest on the way.
        run(Command::new("skopeo").args([
            "--insecure-policy",
            "copy",
            "--quiet",
            &image.skopeo(),
            &to,
        ]))
        .ok();
    }
}

#[test]
fn docker_runs_our_busybox() {
    let docker = match Docker::with(&busybox()) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    docker.run(&[], &["echo", "hi"]).ok().prints("hi\n");
    docker.run(&[], &["sh", "-c", "exit 7"]).exits(7);
}

#[test]
fn a_machine_with_cgroup_v2_answers() {
    let vm = match Vm::find() {
        Ok(vm) => vm,
        Err(why) => not_run!("{why}"),
    };
    let script = "id -un; stat -fc %T /sys/fs/cgroup; test -x \"$MINI_DOCKER\"";
    for kind in [VmKind::Virtual, VmKind::Native] {
        vm.shell(kind, "dev", script)
            .ok()
            .prints("dev\ncgroup2fs\n");
    }
}
