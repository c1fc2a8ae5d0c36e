//! `cp` by the rules of Docker: the same command lines there and here, and what is to be seen afterwards.

use super::pair::{BOTH, Engine, Life, Pair, listing, local_listing, same, text};
use crate::support::{Layer, Recipe, Stage};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

/// What is in the container at the beginning.
fn image() -> Layer {
    Layer::new()
        .dir("w", 0o755)
        .dir("w/dir", 0o751)
        .file("w/dir/old", 0o644, b"old")
        .dir("w/dir/deep", 0o755)
        .hard_link("w/dir/deep/hard", "w/dir/old")
        .file("w/file", 0o644, b"file")
        .symlink("w/ldir", "dir")
        .symlink("w/labs", "/w/dir")
        .symlink("w/lfile", "file")
        .symlink("w/dang", "nowhere")
        .symlink("w/up", "../../../../w/dir/deep")
        .symlink("w/loop", "loop")
        .dir("w/clash", 0o755)
        .file("w/clash/d", 0o644, b"a file")
        .dir("w/clash2", 0o755)
        .dir("w/clash2/f", 0o755)
        .file("w/clash2/f/kept", 0o644, b"kept")
        .dir("vol", 0o755)
        .dir("ro", 0o755)
        .file(
            "etc/passwd",
            0o644,
            b"root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n",
        )
}

/// What is on this machine at the beginning.
fn fixture(local: &Path) {
    let at = |name: &str| local.join(name);
    fs::create_dir_all(at("in/d/sub")).unwrap();
    fs::create_dir_all(at("in/empty")).unwrap();
    fs::write(at("in/f"), "new").unwrap();
    fs::write(at("in/d/a"), "a").unwrap();
    fs::write(at("in/d/sub/b"), "b").unwrap();
    fs::hard_link(at("in/d/a"), at("in/d/hard")).unwrap();
    symlink("a", at("in/d/la")).unwrap();
    symlink("d", at("in/ld")).unwrap();
    symlink("f", at("in/lf")).unwrap();
    symlink("nowhere", at("in/dang")).unwrap();
    fs::write(at("in/x.sh"), "#!").unwrap();
    fs::write(at("in/sp ace"), "blank").unwrap();
    fs::set_permissions(at("in/x.sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(at("in/d/sub"), fs::Permissions::from_mode(0o2770)).unwrap();
    fs::create_dir_all(at("out/d")).unwrap();
    fs::write(at("out/file"), "local").unwrap();
    symlink("d", at("out/ld")).unwrap();
    symlink("file", at("out/lfile")).unwrap();
    symlink("nope", at("out/dang")).unwrap();
    fs::create_dir_all(at("out/clash/dir/old")).unwrap();
    fs::create_dir_all(at("out/clash2")).unwrap();
    fs::write(at("out/clash2/dir"), "in the way").unwrap();
    fs::create_dir_all(at("vol")).unwrap();
    fs::create_dir_all(at("ro")).unwrap();
    fs::write(at("ro/kept"), "kept").unwrap();
}

/// Into the container. With `=` for a text, both say the same; else what both say is this in essence.
const INWARD: &[(&[&str], &str)] = &[
    (&["{L}/in/f", "{C}:/w/new"], ""),
    (&["{L}/in/f", "{C}:/w/dir"], ""),
    (&["{L}/in/f", "{C}:/w/dir/"], ""),
    (&["{L}/in/f", "{C}:/w/file"], ""),
    (&["{L}/in/f", "{C}:/w/file/"], "="),
    (&["{L}/in/f", "{C}:/w/nope/x"], "="),
    (&["{L}/in/f", "{C}:/w/nope/"], "="),
    (&["{L}/in/d", "{C}:/w/newd"], ""),
    (&["{L}/in/d", "{C}:/w/newd"], ""),
    (&["{L}/in/d", "{C}:/w/dir"], ""),
    (&["{L}/in/d/", "{C}:/w/dir2"], ""),
    (&["{L}/in/d/", "{C}:/w/dir3/"], ""),
    (&["{L}/in/d/.", "{C}:/w/newd2"], ""),
    (&["{L}/in/d/.", "{C}:/w/dir"], ""),
    (&["{L}/in/d", "{C}:/w/file"], "="),
    (&["{L}/in/d/.", "{C}:/w/file"], "="),
    (&["{L}/in/d", "{C}:/w/nope/d"], "="),
    (&["{L}/in/lf", "{C}:/w/lf1"], ""),
    (&["-L", "{L}/in/lf", "{C}:/w/lf2"], ""),
    (&["-L", "{L}/in/lf", "{C}:/w/dir"], ""),
    (&["{L}/in/ld", "{C}:/w/ld1"], ""),
    (&["{L}/in/ld/", "{C}:/w/ld2"], ""),
    (&["--follow-link", "{L}/in/ld", "{C}:/w/ld3"], ""),
    (&["-L", "{L}/in/ld", "{C}:/w/dir"], ""),
    (&["{L}/in/ld/.", "{C}:/w/ld4"], ""),
    (&["{L}/in/dang", "{C}:/w/dang1"], ""),
    (
        &["-L", "{L}/in/dang", "{C}:/w/x"],
        "no such file or directory",
    ),
    (&["{L}/in/f", "{C}:/w/ldir"], ""),
    (&["{L}/in/f", "{C}:/w/ldir/new"], ""),
    (&["{L}/in/f", "{C}:/w/lfile"], ""),
    (&["{L}/in/f", "{C}:/w/dang"], ""),
    (&["{L}/in/d", "{C}:/w/labs"], ""),
    (&["{L}/in/f", "{C}:/w/up"], ""),
    (&["{L}/in/f", "{C}:/w/up/../beside"], ""),
    (&["{L}/in/f", "{C}:/../../w/climbed"], ""),
    (&["{L}/in/nofile", "{C}:/w"], "no such file or directory"),
    (&["{L}/in/f/", "{C}:/w"], "not a directory"),
    (&["{L}/in/f/.", "{C}:/w"], "not a directory"),
    (&["{L}/in/d", "{C}:/w/clash"], "="),
    (&["{L}/in/f", "{C}:/w/clash2"], "="),
    (&["{L}/in/f", "{C}:w/relative"], ""),
    (&["{L}/in/f", "{C}:/w/dir/../up2"], ""),
    (&["{L}/in/x.sh", "{C}:/w/dir"], ""),
    (&["{L}/in/sp ace", "{C}:/w/"], ""),
    (&["{L}/in/empty", "{C}:/w/"], ""),
    (&["{L}/in/empty/.", "{C}:/w/alsoempty"], ""),
    (&["-q", "{L}/in/f", "{C}:/w/quiet"], ""),
    (&["-a", "{L}/in/d", "{C}:/w/owned"], ""),
    (&["--archive", "{L}/in/f", "{C}:/w/owned/sub/b"], ""),
    (&["{L}/in/f", "{C}:/vol/f"], ""),
    (&["{L}/in/d", "{C}:/vol"], ""),
    (&["{L}/in/f", "{C}:/ro/f"], "="),
    (&["{L}/in/f", "{C}:/ro/kept"], "="),
    (&["{L}/in/f", "{L}/in/g"], "="),
    (&["{C}:/w/file", "{C}:/w/g"], "="),
];

/// Out of the container.
const OUTWARD: &[(&[&str], &str)] = &[
    (&["{C}:/w/dir", "{L}/out/new"], ""),
    (&["{C}:/w/dir", "{L}/out/new"], ""),
    (&["{C}:/w/dir", "{L}/out/d"], ""),
    (&["{C}:/w/dir/.", "{L}/out/new2"], ""),
    (&["{C}:/w/dir/", "{L}/out/new3"], ""),
    (&["{C}:/w/dir/.", "{L}/out/d"], ""),
    (&["{C}:/w/file", "{L}/out/f1"], ""),
    (&["{C}:/w/file", "{L}/out/d"], ""),
    (&["{C}:/w/file", "{L}/out/d/"], ""),
    (&["{C}:/w/file", "{L}/out/file"], ""),
    (&["{C}:/w/file", "{L}/out/lfile"], ""),
    (&["{C}:/w/file", "{L}/out/dang"], ""),
    (&["{C}:/w/file", "{L}/out/nodir/"], "="),
    (&["{C}:/w/file", "{L}/out/nodir/x"], "="),
    (&["{C}:/w/dir", "{L}/out/nodir/x"], "="),
    (&["{C}:/w/dir", "{L}/out/file"], "="),
    (&["{C}:/w/dir", "{L}/out/ld"], ""),
    (&["{C}:/w/ldir", "{L}/out/l1"], ""),
    (&["{C}:/w/ldir/", "{L}/out/l2"], ""),
    (&["-L", "{C}:/w/ldir", "{L}/out/l3"], ""),
    (&["-L", "{C}:/w/ldir", "{L}/out/d"], ""),
    (&["{C}:/w/lfile", "{L}/out/l4"], ""),
    (&["-L", "{C}:/w/lfile", "{L}/out/l5"], ""),
    (&["-L", "{C}:/w/lfile", "{L}/out/d"], ""),
    (&["{C}:/w/ldir/.", "{L}/out/l6"], ""),
    (&["{C}:/w/up/", "{L}/out/l7"], ""),
    (&["{C}:/w/dang1", "{L}/out/l8"], ""),
    (&["{C}:/nope", "{L}/out"], "="),
    (&["{C}:/w/file/", "{L}/out"], "not a directory"),
    (&["{C}:/w/file/x", "{L}/out"], "not a directory"),
    (&["{C}:/w/lfile/", "{L}/out"], "not a directory"),
    (&["{C}:", "{L}/out"], "cannot be empty"),
    (&["{C}:/w/dir/deep/..", "{L}/out/w"], ""),
    (&["{C}:w/dir/old", "{L}/out/rel"], ""),
    (&["-a", "{C}:/w/dir/old", "{L}/out/all"], ""),
    (&["-q", "{C}:/w/dir/old", "{L}/out/quiet"], ""),
    (&["{C}:/w/dir", "{L}/out/clash"], "="),
    (&["{C}:/w/dir", "{L}/out/clash2"], "="),
    (&["{C}:/vol", "{L}/out/"], ""),
    (&["{C}:/ro/kept", "{L}/out/"], ""),
    (
        &["{C}:/w/file", "/dev/null"],
        "must be a directory or a regular file",
    ),
    (&["{C}:/proc/self/status", "{L}/out"], "="),
    (&["{C}:/dev/null", "{L}/out"], "="),
    (&["{C}:/sys/kernel", "{L}/out"], "="),
];

/// Lines without owners: an ordinary user's files have other numbers.
fn ownerless(lines: Vec<String>) -> Vec<String> {
    let owner = |word: &&str| {
        !(word.contains(':') && word.bytes().all(|b| b.is_ascii_digit() || b == b':'))
    };
    lines
        .into_iter()
        .map(|line| line.split(' ').filter(owner).collect::<Vec<_>>().join(" "))
        .collect()
}

fn table(pair: &Pair, lines: &[(&[&str], &str)]) {
    let rootless = pair.stage.is_rootless();
    for (arguments, words) in lines {
        let line = [&["cp"], *arguments].concat();
        let [ours, docker] = BOTH.map(|engine| pair.run(engine, &line, b""));
        let said = [
            pair.words(Engine::Ours, &ours),
            pair.words(Engine::Docker, &docker),
        ];
        let case = format!("{line:?}: {said:?}");
        assert_eq!(
            ours.status.code(),
            docker.status.code(),
            "exit code of {case}"
        );
        match *words {
            "" => assert!(ours.status.success(), "{case}"),
            "=" => assert_eq!(said[0], said[1], "{case}"),
            words => assert!(
                said.iter().all(|s| s.to_lowercase().contains(words)),
                "{case}"
            ),
        }
        assert_eq!(text(&ours.stdout), text(&docker.stdout), "output of {case}");
        for path in ["/w", "/vol", "/ro"] {
            let [ours, docker] = BOTH.map(|engine| pair.tree(engine, path));
            let trees = match rootless {
                true => [ownerless(ours), ownerless(docker)],
                false => [ours, docker],
            };
            same(&trees[0], &trees[1], &format!("{path} after {case}"));
        }
        let [ours, docker] = BOTH.map(|engine| local_listing(&pair.local(engine)));
        same(&ours, &docker, &format!("this machine after {case}"));
    }
}

fn pair(stage: Stage, life: Life) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let image = Recipe::new()
        .layer(Layer::busybox())
        .layer(image())
        .write(dir.path());
    let pair = |stage: Stage| {
        let options = ["-u", "daemon", "-v", "{L}/vol:/vol", "-v", "{L}/ro:/ro:ro"];
        Pair::new(stage, &image, life, &options, &["sleep", "1000"])
    };
    for engine in ["work/ours", "docker"] {
        fixture(&stage.dir().join(engine));
    }
    // The user's own, as in Docker's case they are root's.
    if let crate::support::Identity::Ordinary { uid, gid } = stage.identity() {
        let mut pending = vec![stage.dir().join("work/ours")];
        while let Some(path) = pending.pop() {
            let mode = fs::symlink_metadata(&path).unwrap().permissions();
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
            if path.is_symlink() {
                continue;
            }
            fs::set_permissions(&path, mode).unwrap();
            if path.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
        chown(stage.dir().join("work/ours"), Some(uid), Some(gid)).unwrap();
    }
    pair(stage)
}

fn table_of(stage: Stage, life: Life) {
    let pair = pair(stage, life);
    table(&pair, INWARD);
    table(&pair, OUTWARD);
    streams(&pair);
}

/// `-` for a side.
fn streams(pair: &Pair) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    header.set_size(6);
    archive
        .append_data(&mut header, "streamed/file", &b"stream"[..])
        .unwrap();
    let archive = archive.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &archive).unwrap();
    let gzip = gzip.finish().unwrap();
    for (to, input, words) in [
        ("{C}:/w", &archive[..], ""),
        ("{C}:/w/dir/", &gzip, ""),
        ("{C}:/w/ldir", &archive, ""),
        ("{C}:/vol", &archive, ""),
        ("{C}:/w/file", &archive, "="),
        ("{C}:/w/nope", &archive, "="),
        ("{C}:/ro", &archive, "="),
    ] {
        let [ours, docker] = BOTH.map(|engine| pair.run(engine, &["cp", "-", to], input));
        let said = [
            pair.words(Engine::Ours, &ours),
            pair.words(Engine::Docker, &docker),
        ];
        let case = format!("cp - {to}: {said:?}");
        assert_eq!(ours.status.code(), docker.status.code(), "{case}");
        match words {
            "" => assert!(ours.status.success(), "{case}"),
            "=" => assert_eq!(said[0], said[1], "{case}"),
            _ => unreachable!(),
        }
        let [ours, docker] = BOTH.map(|engine| ownerless(pair.tree(engine, "/w/streamed")));
        same(&ours, &docker, &case);
    }
    // Docker takes these without a word.
    for cut in [b"no archive", &archive[..600]] {
        let output = pair.run(Engine::Ours, &["cp", "-", "{C}:/etc"], cut);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains("the archive ends in the middle of an entry"),
            "{said}"
        );
    }
    for path in [
        "/w/dir", "/w/dir/", "/w/dir/.", "/w/ldir", "/w/ldir/", "/w/file", "/w/up/.",
    ] {
        let from = format!("{{C}}:{path}");
        let [ours, docker] = BOTH.map(|engine| listing(&pair.ok(engine, &["cp", &from, "-"])));
        same(
            &ownerless(ours),
            &ownerless(docker),
            &format!("cp {path} -"),
        );
    }
}

fn table_is_dockers(ordinary: bool, life: Life) {
    if !crate::support::is_root() {
        crate::support::not_run!("Docker's daemon needs root");
    }
    match ordinary {
        true => table_of(Stage::rootless(), life),
        false => table_of(Stage::new(), life),
    }
}

#[test]
fn with_a_running_container() {
    table_is_dockers(false, Life::Running);
}

#[test]
fn with_a_container_that_was_never_started() {
    table_is_dockers(false, Life::Created);
}

#[test]
fn with_an_ordinary_users_running_container() {
    table_is_dockers(true, Life::Running);
}

#[test]
fn with_an_ordinary_users_stopped_container() {
    table_is_dockers(true, Life::Stopped);
}
