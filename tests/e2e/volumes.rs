//! Volumes and mounts: the same command lines for Docker and for us, as root and as an ordinary user.
//!
//! A line is what follows the program's name, at its blanks; in it stand
//!
//!     IMAGE       the image of these tests
//!     @x          a volume or container of the case: a name that nobody else has
//!     ^           a directory of the case on the host
//!     $name       a script of `SCRIPTS`

use crate::support::{Docker, Layer, Layout, Ran, Recipe, Registry, Stage, not_run, run};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the containers do.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "$tree",
        "cd /data && find . | sort | while read f; do \
             if [ -d $f ]; then stat -c '%n %F %a %u %g' $f; \
             else stat -c '%n %F %a %u %g %s %h %Y' $f; fi; \
         done; cat file sub/deep; readlink link",
    ),
    ("$own", "stat -c '%a %u %g' /data; ls -A /data"),
    (
        "$mode",
        "awk '$2 == \"/x\" { print substr($4, 1, 2) }' /proc/mounts; ls -A /x",
    ),
    ("$write", "echo text > /x/written; cat /x/written"),
    ("$both", "echo text > /x/shared; cat /y/shared"),
    ("$file", "cat /x; echo more >> /x; cat /x"),
    (
        "$tmpfs",
        "awk '$2 == \"/x\" { print $3, $4 }' /proc/mounts | sed 's/,uid=[0-9]*,gid=[0-9]*$//'; stat -c '%a %u' /x",
    ),
    (
        "$touch",
        "touch /x/new 2>/dev/null && echo writable || echo not",
    ),
    ("$count", "echo run >> /data/count; wc -l < /data/count"),
    ("$id", "id -u; touch /data/mine; stat -c '%u %g' /data/mine"),
    ("$hosts", "cat /etc/hosts"),
];

fn image() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layer = Layer::busybox()
        .owned_by(33, 50)
        .dir("data", 0o2770)
        .file("data/file", 0o644, b"content\n")
        .file("data/suid", 0o4755, b"")
        .hard_link("data/hard", "data/file")
        .symlink("data/link", "file")
        .owned_by(0, 0)
        .dir("data/sub", 0o755)
        .file("data/sub/deep", 0o600, b"deep\n")
        .dir("data/sub/empty", 0o700)
        .owned_by(7, 8)
        .dir("empty", 0o1777)
        .dir("vol", 0o750)
        .file("vol/in", 0o640, b"image\n")
        .dir("vol/sub", 0o700)
        .file("vol/sub/in", 0o600, b"image\n")
        .owned_by(0, 0)
        .dir("linked", 0o755)
        .dir("linked/real", 0o711)
        .file("linked/real/in", 0o644, b"behind the link\n")
        .symlink("linked/to", "real");
    let recipe = Recipe::new().layer(layer);
    let recipe = recipe.config("Volumes", json!({"/vol": {}}));
    let layout = recipe.write(dir.path());
    (dir, layout)
}

/// One side of the comparison.
enum Side<'a> {
    Docker(&'a Docker),
    Ours(&'a Stage, &'a str),
}

impl Side<'_> {
    fn command(&self) -> Command {
        match self {
            Side::Docker(docker) => docker.command(),
            Side::Ours(stage, _) => stage.mini_docker::<&str>([]),
        }
    }

    fn image(&self) -> &str {
        match self {
            Side::Docker(docker) => docker.image(),
            Side::Ours(_, image) => image,
        }
    }

    fn run(&self, line: &str, prefix: &str, host: &Path) -> Ran {
        let mut command = self.command();
        for (number, word) in line.split_whitespace().enumerate() {
            if let Some((_, script)) = SCRIPTS.iter().find(|(name, _)| *name == word) {
                command.args(["sh", "-c", script]);
                continue;
            }
            let word = match word {
                "IMAGE" => self.image().to_owned(),
                word => word
                    .replace('@', prefix)
                    .replace('^', &host.to_string_lossy()),
            };
            command.arg(&word);
            if number == 0 && matches!(&*word, "run" | "create") {
                command.args(["--network", "none"]);
            }
        }
        run(&mut command)
    }
}

/// What a line came to, without what has to differ: names, paths, the program's own words.
fn outcome(ran: &Ran, prefix: &str, host: &Path) -> String {
    let text = ran
        .stdout
        .replace(prefix, "@")
        .replace(&*host.to_string_lossy(), "^");
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(|word| match word.len() {
            // Ids of containers and anonymous volumes.
            64 if word.bytes().all(|b| b.is_ascii_hexdigit()) => "ID",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    });
    let lines: Vec<_> = lines.collect();
    format!("exit {}\n{}", ran.code(), lines.join("\n"))
}

/// Lines that are run one after the other, and words that both errors must have.
struct Case {
    lines: &'static [&'static str],
    errors: &'static [&'static str],
}

const fn case(lines: &'static [&'static str]) -> Case {
    Case { lines, errors: &[] }
}

const fn fails(lines: &'static [&'static str], errors: &'static [&'static str]) -> Case {
    Case { lines, errors }
}

const CASES: &[Case] = &[
    // What the image has comes into a new volume, once.
    case(&[
        "run --rm -v @a:/data IMAGE $tree",
        "run --rm -v @a:/data IMAGE $tree",
    ]),
    case(&["run --rm -v @a:/data:ro IMAGE $tree"]),
    case(&["run --rm --mount src=@a,dst=/data IMAGE $tree"]),
    case(&["run --rm -v /data IMAGE $tree"]),
    case(&["run --rm --mount dst=/data IMAGE $tree"]),
    case(&["run --rm -v @a:/data:nocopy IMAGE $own"]),
    case(&["run --rm --mount src=@a,dst=/data,volume-nocopy IMAGE $own"]),
    case(&[
        "run --rm -v @a:/x IMAGE $write",
        "run --rm -v @a:/data IMAGE $own",
    ]),
    case(&[
        "run --rm -v @a:/data:nocopy IMAGE true",
        "run --rm -v @a:/data IMAGE $tree",
    ]),
    case(&["run --rm -v @a:/empty IMAGE stat -c %a:%u:%g /empty"]),
    case(&["run --rm -v @a:/not/there IMAGE stat -c %a:%u:%g /not /not/there"]),
    case(&["run --rm -v @a:/linked/to IMAGE ls -l /linked/to/in"]),
    case(&["run --rm -v @a:/data/sub IMAGE ls -ln /data/sub/deep"]),
    case(&[
        "run --rm -v @a:/data -v @b:/data/sub IMAGE $tree",
        "run --rm -v @b:/x IMAGE ls -A /x",
    ]),
    case(&[
        "create --name @c -v @a:/data IMAGE true",
        "run --rm -v @a:/x IMAGE ls -A /x",
        "run --rm --volumes-from @c IMAGE $tree",
    ]),
    fails(&["run --rm -v @a:/etc/passwd IMAGE true"], &["director"]),
    // Volumes of the image.
    case(&["run --rm IMAGE find /vol -exec stat -c %n:%a:%u:%g {} +"]),
    case(&["run --rm -v @a:/vol IMAGE ls -A /vol /vol/sub"]),
    case(&["run --rm -v @a:/vol/sub IMAGE ls -A /vol /vol/sub"]),
    case(&["run --rm --tmpfs /vol IMAGE ls -A /vol"]),
    case(&["run --rm -v ^:/vol IMAGE ls -A /vol"]),
    case(&[
        "run --name @c -v /data IMAGE $count",
        "start @c",
        "wait @c",
        "run --rm --volumes-from @c IMAGE cat /data/count",
        "inspect -f {{len(.Mounts)}} @c",
        "rm -v @c",
    ]),
    // Access and sharing.
    case(&["run --rm -v @a:/x:ro IMAGE $touch"]),
    case(&["run --rm -v @a:/x IMAGE $touch"]),
    case(&["run --rm --read-only -v @a:/x IMAGE $touch"]),
    case(&["run --rm -u www-data -v @a:/data IMAGE $id"]),
    case(&["run --rm -u 1234 -v @a:/data IMAGE $touch"]),
    case(&["run --rm -v @a:/x -v @a:/y IMAGE $both"]),
    case(&["run --rm -v @a:/x -v @a:/x IMAGE $touch"]),
    case(&[
        "run --rm -v @a:/x:z IMAGE $mode",
        "run --rm -v @a:/x:ro,Z IMAGE $mode",
    ]),
    case(&[
        "run --rm --volume-driver local -v @a:/x IMAGE $mode",
        "volume inspect -f {{.Driver}} @a",
    ]),
    case(&["run --rm -w /data/sub -v @a:/data IMAGE ls -A"]),
    // Two at one place, and places where nothing can be.
    fails(
        &["run --rm -v @a:/x --tmpfs /x IMAGE true"],
        &["duplicate mount point"],
    ),
    fails(
        &["run --rm -v @a:/x -v @b:/x/ IMAGE true"],
        &["duplicate mount point"],
    ),
    fails(
        &["run --rm -v @a:/x --mount type=tmpfs,dst=/x IMAGE true"],
        &["duplicate mount point"],
    ),
    fails(
        &["run --rm -v @a:/ IMAGE true"],
        &["destination can't be '/'"],
    ),
    fails(
        &["run --rm -v @a:/x:foo IMAGE true"],
        &["invalid mode: foo"],
    ),
    fails(
        &["run --rm -v @a:/x:ro,rw IMAGE true"],
        &["invalid mode: ro,rw"],
    ),
    fails(
        &["run --rm -v @a:/x:rslave IMAGE true"],
        &["bindoptions must not be specified"],
    ),
    fails(
        &["run --rm -v ^:/x:nocopy IMAGE true"],
        &["volumeoptions must not be specified"],
    ),
    fails(
        &["run --rm -v x/y:/x IMAGE true"],
        &["invalid characters for a local volume name"],
    ),
    fails(
        &["run --rm --mount type=volume,src=/a,dst=/x IMAGE true"],
        &["invalid characters"],
    ),
    fails(
        &["run --rm --mount type=volume,src=@a,dst=/x,volume-opt=foo=1 IMAGE true"],
        &["invalid option: \"foo\""],
    ),
    // Directories and files of the host.
    case(&[
        "run --rm -v ^/dir:/x IMAGE $mode",
        "run --rm -v ^/dir:/x:ro IMAGE $mode",
    ]),
    case(&["run --rm -v ^/dir:/x IMAGE $write"]),
    case(&["run --rm -v ^/file:/x IMAGE $file"]),
    case(&["run --rm -v ^/file:/x:ro IMAGE $file"]),
    case(&["run --rm -v ^/file:/etc/hosts IMAGE $hosts"]),
    case(&["run --rm -v ^/file:/data/file IMAGE cat /data/file /data/hard"]),
    case(&["run --rm -v ^/dir:/linked/to IMAGE ls -A /linked/real"]),
    case(&["run --rm -v ^/link:/x IMAGE ls -A /x"]),
    case(&["run --rm -v ^/missing/deep:/x IMAGE $touch"]),
    case(&["run --rm --mount type=bind,src=^/dir,dst=/x,readonly IMAGE $mode"]),
    case(&["run --rm --mount type=bind,src=^/dir,dst=/x,bind-propagation=private IMAGE $mode"]),
    case(&["run --rm --mount type=bind,src=^/file,dst=/not/there IMAGE cat /not/there"]),
    fails(
        &["run --rm --mount type=bind,src=^/none,dst=/x IMAGE true"],
        &["bind source path does not exist"],
    ),
    fails(
        &["run --rm --mount type=bind,src=none,dst=/x IMAGE true"],
        &["mount path must be absolute"],
    ),
    fails(&["run --rm -v ^/file:/data IMAGE true"], &["director"]),
    // Devices of volumes.
    case(&[
        "volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=700 @a",
        "run --rm -v @a:/x IMAGE $tmpfs",
    ]),
    case(&[
        "volume create -o type=none -o device=^/dir -o o=bind @a",
        "run --rm -v @a:/x IMAGE $mode",
        "run --rm -v @a:/x IMAGE $write",
    ]),
    case(&[
        "volume create -o type=none -o device=^/new -o o=bind @a",
        "run --rm -v @a:/data IMAGE $tree",
    ]),
    // Memory.
    case(&["run --rm --tmpfs /x IMAGE $tmpfs"]),
    case(&["run --rm --tmpfs /x:size=1m,mode=700,uid=7,exec IMAGE stat -c %a:%u /x"]),
    case(&["run --rm --mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=0710 IMAGE $tmpfs"]),
    case(&["run --rm --tmpfs /data IMAGE ls -A /data"]),
    // Other containers' volumes.
    case(&[
        "create --name @c -v @a:/data -v /x -v ^/dir:/host:ro IMAGE true",
        "run --rm --volumes-from @c IMAGE $write",
        "run --rm --volumes-from @c IMAGE $tree",
        "run --rm --volumes-from @c:ro IMAGE $touch",
        "run --rm --volumes-from @c IMAGE ls -A /x /host",
        "run --rm --volumes-from @c -v @b:/x IMAGE ls -A /x",
        "run --rm --volumes-from @c --tmpfs /data IMAGE ls -A /data",
    ]),
    fails(
        &["run --rm --volumes-from @none IMAGE true"],
        &["no such container"],
    ),
    fails(
        &["run --rm --volumes-from @c:foo IMAGE true"],
        &["invalid mode: foo"],
    ),
    // Verbs.
    case(&[
        "create --name @c -v @a:/x IMAGE true",
        "volume rm @a",
        "volume ls -q -f name=@ -f dangling=true",
        "volume ls -q -f name=@ -f dangling=false",
        "rm -v @c",
        "volume ls -q -f name=@ -f dangling=true",
        "volume rm @a @a",
        "volume rm -f @a",
        "volume inspect @a",
    ]),
    case(&[
        "volume create --label a=b --label c @a",
        "volume create --label z=1 @a",
        "volume inspect -f {{json(.Labels)}},{{json(.Options)}},{{.Driver}},{{.Scope}},{{.Name}} @a",
        "volume ls -f name=@ --format {{.Name}},{{.Driver}},{{.Scope}},{{.Size}},{{.Label(\"a\")}}",
        "volume ls -q -f name=@ -f label=a=b",
        "volume ls -q -f name=@ -f label=a=c",
        "volume ls -q -f foo=x",
        "inspect --type volume -f {{.Name}} @a",
        "inspect -f {{.Name}} @a",
    ]),
    case(&[
        "create --name @c -v @a:/a:ro -v ^/dir:/b:z -v /anon --mount src=@b,dst=/c,volume-nocopy,readonly \
         --mount type=bind,src=^/dir,dst=/d,ro --mount type=tmpfs,dst=/e,tmpfs-size=1m,tmpfs-mode=700 \
         --tmpfs /g:size=1m IMAGE true",
        "inspect -f {{range(.Mounts)}}{{if(eq(.Type)(\"bind\"))}}{{.Source}}{{end}},{{.Type}},{{.Name}},{{.Destination}},{{.Driver}},{{.Mode}},{{.RW}}{{println}}{{end}} @c",
        "inspect -f {{json(.HostConfig.Binds)}} @c",
        "inspect -f {{json(.HostConfig.Mounts)}} @c",
        "inspect -f {{json(.HostConfig.Tmpfs)}} @c",
        "inspect -f {{json(.Config.Volumes)}} @c",
        "ps -a --no-trunc -f name=@c --format {{.LocalVolumes}}",
        "ps -a -f volume=@a --format {{.Names}}",
    ]),
    case(&[
        "create --name @c -v @a:/a IMAGE true",
        "create --name @d --volumes-from @c:ro IMAGE true",
        "inspect -f {{json(.HostConfig.VolumesFrom)}} @d",
        "inspect -f {{range(.Mounts)}}{{.Destination}},{{.Mode}},{{.RW}}{{println}}{{end}} @d",
    ]),
];

/// A case's directory on the host.
fn host(stage: Option<&Stage>) -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("md-host-")
        .tempdir()
        .unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("dir/there"), "host\n").unwrap();
    fs::create_dir(at("new")).unwrap();
    fs::write(at("file"), "host file\n").unwrap();
    std::os::unix::fs::symlink("dir", at("link")).unwrap();
    if let Some(stage) = stage {
        let owner = fs::metadata(stage.root()).unwrap();
        for name in ["", "dir", "dir/there", "new", "file"] {
            let (uid, gid) = (Some(owner.uid()), Some(owner.gid()));
            std::os::unix::fs::chown(at(name), uid, gid).unwrap();
        }
    }
    dir
}

/// Runs all lines of a case. What `inspect` lists in an order of its own is sorted.
fn story(side: &Side<'_>, case: &Case) -> Vec<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("md{}n{number}q", std::process::id());
    let stage = match side {
        Side::Docker(_) => None,
        Side::Ours(stage, _) => Some(*stage),
    };
    let host = host(stage);
    let mut told = Vec::new();
    for (number, line) in case.lines.iter().enumerate() {
        let ran = side.run(line, &prefix, host.path());
        let mut text = outcome(&ran, &prefix, host.path());
        if line.contains("{{range") {
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            text = lines.join("\n");
        }
        if number + 1 == case.lines.len() {
            for word in case.errors {
                let said = ran.stderr.to_lowercase();
                if !said.contains(word) {
                    text.push_str(&format!("\nno {word:?} in: {said}"));
                }
            }
        }
        told.push(format!("{line}\n{text}"));
    }
    // Nothing of the case is left to the next.
    let listed = run(side
        .command()
        .args(["ps", "-aq", "--filter"])
        .arg(format!("name={prefix}")));
    if !listed.text().is_empty() {
        run(side
            .command()
            .args(["rm", "-f", "-v"])
            .args(listed.text().lines()))
        .ok();
    }
    let listed = run(side
        .command()
        .args(["volume", "ls", "-q", "--filter"])
        .arg(format!("name={prefix}")));
    if !listed.text().is_empty() {
        run(side
            .command()
            .args(["volume", "rm"])
            .args(listed.text().lines()))
        .ok();
    }
    told
}

#[test]
fn the_same_lines_do_the_same_as_in_docker() {
    let (_dir, layout) = image();
    let docker = match Docker::with(&layout) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let registry = Registry::start();
    let reference = registry.push(&layout, "volumes:x");
    let stages = Stage::each();
    for stage in &stages {
        stage.run(["pull", "-q", &reference]).ok();
    }
    let mut different = Vec::new();
    for case in CASES {
        let theirs = story(&Side::Docker(&docker), case);
        for stage in &stages {
            let ours = story(&Side::Ours(stage, &reference), case);
            for (theirs, ours) in theirs.iter().zip(&ours).filter(|(a, b)| a != b) {
                let who = if stage.is_rootless() {
                    "rootless"
                } else {
                    "root"
                };
                different.push(format!("{who}: {ours}\n-- Docker: {theirs}"));
            }
        }
    }
    let lines: usize = CASES.iter().map(|case| case.lines.len()).sum();
    assert!(
        different.is_empty(),
        "{} of {lines} lines differ:\n\n{}",
        different.len(),
        different.join("\n\n")
    );
    // With `--rm` and `rm -v` no anonymous volume is left.
    for stage in &stages {
        stage.run(["volume", "ls", "-q"]).ok().prints("");
    }
}

#[test]
fn volumes_of_a_containers_own() {
    for stage in Stage::each() {
        let create = || {
            let created = stage.run(["create", "-v", "/own", "-v", "kept:/kept", "host", "true"]);
            created.ok().text().to_owned()
        };
        let volumes = || {
            stage
                .run(["volume", "ls", "-q"])
                .ok()
                .stdout
                .lines()
                .count()
        };
        let id = create();
        assert_eq!(volumes(), 2);
        stage.run(["rm", &id]).ok();
        assert_eq!(volumes(), 2, "rm leaves them");
        stage.run(["volume", "prune", "-f"]).ok();
        stage.run(["volume", "ls", "-q"]).ok().prints("kept\n");
        stage.run(["rm", "-v", &create()]).ok();
        stage.run(["volume", "ls", "-q"]).ok().prints("kept\n");
        stage
            .run(["run", "--rm", "-v", "/own", "host", "false"])
            .exits(1);
        stage.run(["volume", "ls", "-q"]).ok().prints("kept\n");
        stage.run(["volume", "rm", "kept"]).ok().prints("kept\n");
    }
}

#[test]
fn what_is_written_belongs_to_who_called() {
    for stage in Stage::each() {
        let place = stage.dir().join("work/mine");
        fs::create_dir(&place).unwrap();
        let me = fs::metadata(stage.root()).unwrap();
        std::os::unix::fs::chown(&place, Some(me.uid()), Some(me.gid())).unwrap();
        let owner = |name: &str| {
            let file = fs::metadata(place.join(name)).unwrap();
            (file.uid(), file.gid())
        };
        let bind = format!("{}:/w:owner=me", place.display());
        stage
            .run(["run", "--rm", "-v", &bind, "host", "touch", "/w/by-root"])
            .ok();
        assert_eq!(owner("by-root"), (me.uid(), me.gid()));
        let mount = format!("type=bind,src={},dst=/w,owner=me", place.display());
        let other = stage.run([
            "run", "--rm", "-u", "77", "--mount", &mount, "host", "touch", "/w/by-77",
        ]);
        if stage.is_rootless() {
            other
                .exits(125)
                .complains(["owner", "ordinary user", "root"]);
            continue;
        }
        other.ok();
        assert_eq!(owner("by-77"), (me.uid(), me.gid()));
        // Under sudo, who called that.
        std::os::unix::fs::chown(&place, Some(1234), Some(5678)).unwrap();
        let mut sudo = stage.mini_docker(["run", "--rm", "-v", &bind, "host", "touch", "/w/sudo"]);
        run(sudo.env("SUDO_UID", "1234").env("SUDO_GID", "5678")).ok();
        assert_eq!(owner("sudo"), (1234, 5678));
    }
}
