//! Containers with a user namespace of their own, on the command line and over an image's layers.

use crate::support::{Layer, Recipe, Stage, is_root, not_run, run};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// A stage, and the id of an image whose files belong to several.
fn stage() -> (Stage, String) {
    let stage = Stage::new();
    let below = Layer::busybox()
        .dir("data", 0o755)
        .owned_by(33, 50)
        .file("data/file", 0o640, b"content\n")
        .owned_by(0, 0)
        .dir("opaque", 0o755)
        .file("opaque/lower", 0o644, b"");
    // What hides lower files is told by marks that only the machine's root can read.
    let above = Layer::new()
        .owned_by(7, 8)
        .dir("opaque", 0o711)
        .file("opaque/.wh..wh..opq", 0o644, b"")
        .file("opaque/upper", 0o4755, b"upper\n");
    let dir = stage.dir().join("work/layout");
    fs::create_dir(&dir).unwrap();
    let layout = Recipe::new().layer(below).layer(above).write(&dir);
    stage.run(["load", "-q", "-i", dir.to_str().unwrap()]).ok();
    (stage, layout.id())
}

/// Runs a command line, of words at its blanks, a script in place of `$`.
fn say(stage: &Stage, line: &str, script: &str) -> String {
    let words = line
        .split(' ')
        .map(|word| if word == "$" { script } else { word });
    stage.run(words).ok().stdout
}

/// Names, modes, owners and sizes in an archive.
fn listing(stage: &Stage, line: &str) -> Vec<String> {
    let archive = stage.dir().join("work/archive.tar");
    let (archive, out) = (
        archive.to_str().unwrap(),
        fs::File::create(&archive).unwrap(),
    );
    let mut command = stage.mini_docker(line.split(' '));
    let status = command.stdout(out).status().unwrap();
    assert!(status.success(), "{line}");
    let listed = run(Command::new("tar").args(["--numeric-owner", "-tvf", archive])).ok();
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    listed.stdout.lines().map(line).collect()
}

#[test]
fn an_images_files_are_the_containers() {
    if !is_root() {
        not_run!("only the machine's root has such containers");
    }
    let (stage, image) = stage();
    for name in ["one", "two"] {
        let line =
            format!("run -d --name {name} --userns=auto -v shared:/shared {image} sleep 1000");
        say(&stage, &line, "");
    }
    let maps = |name: &str| say(&stage, &format!("exec {name} cat /proc/self/uid_map"), "");
    let maps: BTreeSet<_> = [maps("one"), maps("two")].into();
    assert_eq!(maps.len(), 2, "{maps:?}");
    for map in &maps {
        let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let whole = matches!(numbers[..], [0, outside, 65_536] if outside >= 65_536);
        assert!(whole, "{map}");
    }
    let pid = say(&stage, "inspect -f {{.State.Pid}} one", "");
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:\t"))
        .unwrap();
    let uid = uid.split_whitespace().next().unwrap();
    assert!(maps.iter().any(|map| map.contains(uid)), "{uid}: {maps:?}");
    assert_eq!(
        say(&stage, "inspect -f {{.HostConfig.UsernsMode}} one", "").trim(),
        "auto"
    );

    // The layers, with what one hides of another, and the whole of what root may do with them.
    let script = "cd /; id -u; stat -c '%n %u %g %a' bin data data/file opaque; ls opaque; \
                  echo more >> data/file; rm opaque/upper; mkdir opaque/new; chown 5:6 opaque/new; \
                  echo mine > mine; chown 1000:1000 mine; chmod 4711 mine; \
                  echo from one > shared/file; chown 3:4 shared/file; stat -c '%u %g' data/file";
    let want = "0\nbin 0 0 755\ndata 0 0 755\ndata/file 33 50 640\nopaque 7 8 711\nupper\n33 50\n";
    assert_eq!(say(&stage, "exec one sh -c $", script), want);
    let script = "stat -c '%u %g' /shared/file; echo and two >> /shared/file; cat /shared/file; ls -A /opaque";
    let want = "3 4\nfrom one\nand two\nupper\n";
    assert_eq!(say(&stage, "exec two sh -c $", script), want);

    // From outside it looks as it does inside, while it runs and when it does not.
    let changes =
        "A /mine\nA /opaque/new\nA /shared\nC /data\nC /data/file\nC /opaque\nD /opaque/upper\n";
    for running in [true, false] {
        if !running {
            say(&stage, "stop -t 0 one", "");
        }
        let diff = say(&stage, "diff one", "");
        let mut diff: Vec<_> = diff.lines().collect();
        diff.sort_unstable();
        assert_eq!(diff.join("\n") + "\n", changes, "{running}");
        assert_eq!(
            listing(&stage, "cp one:/mine -"),
            ["-rws--x--x 1000/1000 mine"]
        );
        let exported = listing(&stage, "export one");
        for line in [
            "-rw-r----- 33/50 data/file",
            "drwx--x--x 7/8 opaque/",
            "drwxr-xr-x 5/6 opaque/new/",
            "-rws--x--x 1000/1000 mine",
        ] {
            assert!(exported.iter().any(|l| l == line), "{line}: {exported:?}");
        }
    }
    stage.file("put", b"put\n");
    for (name, at) in [("one", "mine-too"), ("two", "mine-too")] {
        say(&stage, &format!("cp put {name}:/data/{at}"), "");
    }
    let script = "stat -c '%u %g' /data/mine-too";
    assert_eq!(say(&stage, "exec two sh -c $", script), "0 0\n");

    // A start finds the same ids; an image made of it has the container's.
    let before = maps.iter().find(|map| map.contains(uid)).unwrap();
    say(&stage, "start one", "");
    assert_eq!(&say(&stage, "exec one cat /proc/self/uid_map", ""), before);
    say(&stage, "commit one made", "");
    let script =
        "cd /; stat -c '%n %u %g %a' mine data/file data/mine-too opaque/new; ls -A opaque";
    let want = "mine 1000 1000 4711\ndata/file 33 50 640\ndata/mine-too 0 0 644\nopaque/new 5 6 755\nnew\n";
    for userns in ["host", "auto"] {
        let line = format!("run --rm --userns {userns} made sh -c $");
        assert_eq!(say(&stage, &line, script), want, "{userns}");
    }
    say(&stage, "rm -f one two", "");
    assert_eq!(
        fs::read_dir(stage.root().join("ranges")).unwrap().count(),
        0
    );
}

#[test]
fn a_whole_life_in_a_range() {
    if !is_root() {
        not_run!("only the machine's root has such containers");
    }
    let (stage, image) = stage();
    // A terminal, streams that are opened again, another user.
    let script = "test -c $(tty) && stat -c '%u %g' $(tty)";
    let line = format!("run --rm -t --userns auto {image} sh -c $");
    assert_eq!(say(&stage, &line, script).trim(), "0 5");
    let line = format!("run --rm --userns private -u 33 --tmpfs /t --init -m 64m {image} sh -c $");
    let script = "id -u; echo out > /dev/stdout; touch /t/x; cat /data/file";
    assert_eq!(say(&stage, &line, script), "33\nout\ncontent\n");
    // Restarted by its monitor, in the same range.
    let script = "cat /proc/self/uid_map; echo run >> /runs; exit 3";
    let line = format!("run -d --name again --restart on-failure:2 --userns auto {image} sh -c $");
    say(&stage, &line, script);
    let status = || say(&stage, "inspect -f {{.State.Status}} again", "");
    while status().trim() != "exited" {}
    let log = say(&stage, "logs again", "");
    let maps: BTreeSet<_> = log.lines().collect();
    assert_eq!((log.lines().count(), maps.len()), (3, 1), "{log}");
    assert_eq!(
        say(&stage, "cp again:/runs -", "").matches("run\n").count(),
        3
    );
    // Made and not started, a new volume is filled all the same.
    let line =
        format!("create --name made --userns auto -v new:/data {image} stat -c $ /data/file");
    say(&stage, &line, "%u");
    assert_eq!(say(&stage, "start -a made", ""), "33\n");
    // A health check runs inside.
    let line = format!(
        "run -d --name well --userns auto --health-cmd $ --health-interval 100ms {image} sleep 1000"
    );
    say(&stage, &line, "test $(id -u) = 0 && touch /checked");
    while say(&stage, "inspect -f {{.State.Health.Status}} well", "").trim() == "starting" {}
    assert_eq!(
        say(&stage, "inspect -f {{.State.Health.Status}} well", "").trim(),
        "healthy"
    );
    say(&stage, "rm -f again made well", "");
}

#[test]
fn what_cannot_be_had() {
    if !is_root() {
        not_run!("an ordinary user is refused for another reason");
    }
    let (stage, image) = stage();
    for (flags, part) in [
        ("--userns=auto --privileged", "a privileged container"),
        (
            "--userns=auto --network host",
            "the host's network namespace",
        ),
        ("--userns=auto --pid host", "a shared PID namespace"),
        ("--userns=auto --ipc host", "a shared IPC namespace"),
        (
            "--userns=auto --cgroupns host",
            "the host's cgroup namespace",
        ),
        ("--userns=auto:size=70000", "from 1 to 65536 ids"),
        ("--userns=auto --uidmap 0:1:2", "conflicting options"),
        ("--uidmap 1:100000:10", "id 0 must be there"),
        ("--userns=keep-id", "as an ordinary user"),
        ("--userns=ns:/proc/1/ns/user", "cannot be joined"),
        ("--userns=other", "invalid USER mode"),
        ("--userns=auto -u 70000", "user namespace"),
        ("--userns=auto -v /proc:/x:idmap", "cannot be id-mapped"),
    ] {
        let line = format!("run --rm {flags} {image} true");
        let ran = stage.run(line.split(' ')).exits(125);
        assert!(ran.stderr.contains(part), "{ran}");
    }
}

#[test]
fn an_ordinary_user_is_refused() {
    let stage = Stage::rootless();
    let ran = stage.run(["run", "--rm", "--userns=auto", "host", "true"]);
    let ran = ran.exits(125);
    assert!(ran.stderr.contains("only the machine's root may"), "{ran}");
}
