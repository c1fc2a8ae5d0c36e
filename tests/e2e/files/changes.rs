//! `diff`, `export` and sizes: what they tell of the same actions there and here.

use super::pair::{BOTH, Engine, Life, Pair, listing, same, text};
use crate::support::{Layer, Layout, Recipe, Stage};

/// Every directory of `/t` is for one kind of change.
fn image(dir: &std::path::Path) -> Layout {
    let mut base = Layer::new().dir("t", 0o755);
    for kind in KINDS {
        let at = format!("t/{}", kind.0);
        base = base
            .dir(&at, 0o755)
            .file(&format!("{at}/f"), 0o644, b"content")
            .file(&format!("{at}/g"), 0o644, b"another")
            .dir(&format!("{at}/d"), 0o755)
            .file(&format!("{at}/d/x"), 0o600, b"x")
            .dir(&format!("{at}/d/e"), 0o755)
            .file(&format!("{at}/d/e/y"), 0o644, b"y")
            .symlink(&format!("{at}/l"), "f")
            .file(&format!("{at}/gone"), 0o644, b"in one layer only")
            .dir(&format!("{at}/o"), 0o755)
            .file(&format!("{at}/o/lower"), 0o644, b"hidden by a layer above");
    }
    let mut above = Layer::new();
    for kind in KINDS {
        let at = format!("t/{}", kind.0);
        above = above
            .dir(&at, 0o755)
            .whiteout(&format!("{at}/gone"))
            .dir(&format!("{at}/o"), 0o755)
            .file(&format!("{at}/o/.wh..wh..opq"), 0o644, b"")
            .file(&format!("{at}/o/upper"), 0o644, b"upper");
    }
    Recipe::new()
        .layer(Layer::busybox())
        .layer(base)
        .layer(above)
        .write(dir)
}

/// Kinds of change: a name, and what is done in that directory.
const KINDS: &[(&str, &str)] = &[
    ("nothing", ":"),
    ("new-file", "echo x > n"),
    ("new-tree", "mkdir -p n/m; echo x > n/m/o; ln -s o n/m/p"),
    ("append", "echo more >> f"),
    ("truncate", ": > f"),
    ("rewrite", "cat f > h; cat h > f; rm h"),
    ("open-only", ": >> f"),
    ("chmod", "chmod 600 f; chmod 700 d"),
    ("chmod-same", "chmod 644 f"),
    ("chown", "chown 5:6 f; chown 7 d/e"),
    ("touch", "touch -d 2020-01-01 f"),
    ("touch-dir", "touch -d 2020-01-01 d"),
    ("remove", "rm f"),
    ("remove-tree", "rm -r d"),
    ("empty-tree", "rm -r d/x d/e"),
    ("remove-link", "rm l"),
    ("make-again", "rm -r d; mkdir d"),
    (
        "make-again-with",
        "rm -r d; mkdir -p d/e; echo x > d/new; echo z > d/e/y",
    ),
    (
        "make-again-same",
        "cp -rp d k; rm -r d; cp -rp k d; rm -r k",
    ),
    ("file-to-dir", "rm f; mkdir f; echo x > f/n"),
    ("dir-to-file", "rm -r d; echo x > d"),
    ("file-to-link", "rm f; ln -s g f"),
    ("link-to-dir", "rm l; mkdir l"),
    ("link-elsewhere", "ln -sf g l"),
    ("rename", "mv f n"),
    ("rename-over", "mv f g"),
    ("rename-tree", "mv d n"),
    ("rename-back", "mv d n; mv n d"),
    ("hard-link", "echo x > n; ln n o2; ln n d/o3"),
    ("hard-link-of-old", "ln f n"),
    ("fifo", "mkfifo n"),
    ("device", "mknod n c 1 3 2>/dev/null || :"),
    ("made-and-removed", "echo x > n; rm n; mkdir m; rmdir m"),
    ("deep", "echo x > d/e/n"),
    ("deep-remove", "rm d/e/y"),
    ("was-gone-in-image", "echo x > gone"),
    ("below-opaque", "echo x > o/lower; rm o/upper"),
    ("opaque-again", "rm -r o; mkdir o; echo x > o/n"),
    (
        "odd-names",
        "echo x > '-a b'; echo x > 'ü'; mkdir ...; echo x > .../.h",
    ),
    ("everything", "rm -rf * .[!.]*"),
    ("itself", "cd ..; rm -r itself"),
];

fn script() -> String {
    let mut script = String::new();
    for (name, what) in KINDS {
        script += &format!("(cd /t/{name} && {what})\n");
    }
    script
        + "mkdir /made; echo x > /made/it; rm /etc/group; rm -r /mnt; sync; : > /ready; exec sleep 1000"
}

/// What `diff` prints, by path: Docker prints it in any order.
fn diff(pair: &Pair, engine: Engine) -> Vec<String> {
    let mut lines: Vec<String> = text(&pair.ok(engine, &["diff", "{C}"]))
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort_by(|a, b| a[2..].cmp(&b[2..]));
    lines
}

fn changed(stage: Stage, more: &[&str]) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path());
    let options = [
        &[
            "-v",
            "{L}:/mounted/deep",
            "--tmpfs",
            "/memory",
            "-w",
            "/work",
        ],
        more,
    ]
    .concat();
    let pair = |stage| {
        let script = script();
        Pair::new(
            stage,
            &image,
            Life::Running,
            &options,
            &["sh", "-c", &script],
        )
    };
    for directory in ["work/ours", "docker"] {
        let path = stage.dir().join(directory);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
    }
    let pair = pair(stage);
    pair.wait_for("/ready");
    pair
}

/// Docker makes these in a layer of its own below each container's, but they are in what it exports.
fn is_of_docker(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    let own = [
        "dev",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/mtab",
        ".dockerenv",
        "proc",
        "sys",
    ];
    own.iter().any(|own| {
        name == *own
            || name
                .strip_prefix(own)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// What `export` writes, as far as it can be the same.
fn exported(pair: &Pair, engine: Engine) -> Vec<String> {
    comparable(pair, &pair.ok(engine, &["export", "{C}"]))
}

fn comparable(pair: &Pair, archive: &[u8]) -> Vec<String> {
    let mut lines = listing(archive);
    // An overlay in a user namespace shows the names of one file as several files, and has no device.
    let differ = ["t/device/n", "t/hard-link-of-old/n"];
    lines.retain(|line| {
        let rootless = pair.stage.is_rootless() && differ.iter().any(|path| line.starts_with(path));
        !rootless && !is_of_docker(line)
    });
    lines
}

fn tells_what_docker_tells(stage: Stage) {
    let rootless = stage.is_rootless();
    let pair = changed(stage, &[]);
    let [mut ours, mut docker] = BOTH.map(|engine| diff(&pair, engine));
    if rootless {
        // A user namespace cannot make one.
        for lines in [&mut ours, &mut docker] {
            lines.retain(|line| !line.contains("/t/device"));
        }
    }
    assert!(ours.len() > 80, "{ours:#?}");
    same(&ours, &docker, "diff");

    let [ours, docker] = BOTH.map(|engine| exported(&pair, engine));
    same(&ours, &docker, "export");

    let sizes = |engine| {
        let format = "{{.SizeRw}} {{.SizeRootFs}}";
        text(&pair.ok(engine, &["inspect", "-s", "-f", format, "{C}"]))
    };
    assert_eq!(sizes(Engine::Ours), sizes(Engine::Docker));

    // And the same when it has ended.
    let [before, after] = [Life::Running, Life::Stopped].map(|life| {
        if life == Life::Stopped {
            pair.ok(Engine::Ours, &["kill", "{C}"]);
            pair.ok(Engine::Ours, &["wait", "{C}"]);
        }
        (diff(&pair, Engine::Ours), exported(&pair, Engine::Ours))
    });
    same(&before.0, &after.0, "diff, before and after the end");
    same(&before.1, &after.1, "export, before and after the end");
}

#[test]
fn as_docker() {
    if !crate::support::is_root() {
        crate::support::not_run!("Docker's daemon needs root");
    }
    tells_what_docker_tells(Stage::new());
}

#[test]
fn of_an_ordinary_user_as_docker() {
    if !crate::support::is_root() {
        crate::support::not_run!("Docker's daemon needs root");
    }
    tells_what_docker_tells(Stage::rootless());
}

/// The changed container's image, and the image that both make of it.
#[test]
fn what_is_committed_is_what_was_there() {
    if !crate::support::is_root() {
        crate::support::not_run!("Docker's daemon needs root");
    }
    for stage in Stage::each() {
        let rootless = stage.is_rootless();
        let pair = changed(stage, &[]);
        // Where there is no cgroup, nothing can be paused.
        let pause: &[&str] = if rootless { &["-p=false"] } else { &[] };
        for name in ["test/made:1", "test/made:2"] {
            pair.ok(Engine::Ours, &[&["commit"], pause, &["{C}", name]].concat());
        }
        let layers = |image: &str| {
            let format = "{{json .RootFS.Layers}}";
            text(
                &pair
                    .stage
                    .run(["image", "inspect", "-f", format, image])
                    .ok()
                    .stdout
                    .into_bytes(),
            )
        };
        assert_eq!(
            layers("test/made:1"),
            layers("test/made:2"),
            "the same changes, the same layer"
        );

        // Its containers see what was there, and have changed nothing.
        pair.stage
            .run(["create", "--name", "again", "test/made:1"])
            .ok();
        assert_eq!(pair.stage.run(["diff", "again"]).ok().stdout, "");
        let archive = pair.stage.dir().join("work/again.tar");
        pair.stage
            .run(["export", "-o", archive.to_str().unwrap(), "again"])
            .ok();
        let again = comparable(&pair, &std::fs::read(&archive).unwrap());
        same(
            &again,
            &exported(&pair, Engine::Ours),
            "export of a container of the image",
        );
        pair.stage.run(["rm", "again"]).ok();

        // Docker takes it, and sees the same.
        let archive = pair.stage.dir().join("work/made.tar");
        pair.stage
            .run(["save", "-o", archive.to_str().unwrap(), "test/made:1"])
            .ok();
        pair.ok(
            Engine::Docker,
            &["load", "-q", "-i", archive.to_str().unwrap()],
        );
        let id = text(&pair.ok(Engine::Docker, &["create", "test/made:1"]));
        let there = comparable(&pair, &pair.ok(Engine::Docker, &["export", id.trim()]));
        pair.ok(Engine::Docker, &["rm", id.trim()]);
        pair.ok(Engine::Docker, &["rmi", "test/made:1"]);
        same(&again, &there, "the image in Docker");
    }
}
