//! What a container writes: shown, logged, read back; beside Docker's where it can be compared.
//!
//! `LOG_MEGABYTES=1000` sets how much is written where the question is whether all of it arrives.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{Docker, Ran, Stage, busybox, not_run, run};

/// Each is run by both.
const PROGRAMS: [(&str, &[&str]); 6] = [
    (
        "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf last",
        &[],
    ),
    (
        r#"printf 'a\tb"q\\ <x>&\r\n\001\177 \b\f \377\376 \303( \342\202 \342\200\250 \360\237\230\200\n'"#,
        &[],
    ),
    (
        "head -c 16383 /dev/zero | tr '\\0' x; echo; head -c 16384 /dev/zero | tr '\\0' y; echo; \
         head -c 40000 /dev/zero | tr '\\0' z; echo; echo end",
        &[],
    ),
    (
        "echo hi",
        &[
            "--log-opt",
            "labels=a,none",
            "--log-opt",
            "env=E",
            "--log-opt",
            "tag={{.Name}}/x",
            "-l",
            "a=1 2/3",
            "-e",
            "E=<>",
        ],
    ),
    ("echo o; echo e >&2; tty; stty size", &["-t"]),
    ("true", &[]),
];

/// Replaces every `2026-11-24T02:13:46.246839978Z`.
fn mask(text: &str) -> String {
    const LENGTH: usize = "2026-11-24T02:13:46.246839978Z".len();
    let is_time = |at: usize| {
        let bytes = &text.as_bytes()[at..at + LENGTH];
        bytes[4] == b'-' && bytes[10] == b'T' && bytes[19] == b'.' && bytes[LENGTH - 1] == b'Z'
    };
    let mut masked = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("20") {
        let at = text.len() - rest.len() + found;
        masked += &rest[..found];
        rest = if at + LENGTH <= text.len() && is_time(at) {
            masked += "TIME";
            &text[at + LENGTH..]
        } else {
            masked += "2";
            &text[at + 1..]
        };
    }
    masked + rest
}

/// Lines of a log file, without their times.
fn records(text: &str) -> Vec<String> {
    let record = |line: &str| {
        let (record, time) = line.rsplit_once(",\"time\":\"").expect("a time");
        assert!(time.ends_with("Z\"}") && !time.contains("0Z"), "{time}");
        record.to_owned()
    };
    text.lines().map(record).collect()
}

#[test]
fn logs_are_dockers() {
    let image = busybox();
    let docker = match Docker::with(&image) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let stage = Stage::new();
    let archive = stage.dir().join("image.tar");
    run(docker
        .command()
        .args(["save", "-o"])
        .arg(&archive)
        .arg(docker.image()))
    .ok();
    stage
        .run(["load", "-q", "-i", &archive.to_string_lossy()])
        .ok();
    for (number, (program, options)) in PROGRAMS.into_iter().enumerate() {
        let name = format!("md-logs-{}-{number}", std::process::id());
        let common = |verb: &'static str| -> Vec<&str> {
            let before = [verb, "--network", "none", "--name", &*name];
            let after = [docker.image(), "sh", "-c", program];
            [&before[..], options, &after[..]].concat()
        };
        let theirs = |arguments: &[&str]| -> Ran { run(docker.command().args(arguments)) };
        let (shown, our_shown) = (
            run(docker.command().args(common("run"))).ok(),
            stage.run(common("run")).ok(),
        );
        assert_eq!(our_shown.stdout, shown.stdout, "{program}");
        for more in [
            &[][..],
            &["-t"],
            &["--details"],
            &["--details", "-t"],
            &["-n", "2"],
            &["--tail", "x"],
            &["--since", "10m"],
            &["--until", "2020-01-01"],
            &["-f"],
        ] {
            let arguments: Vec<&str> = [&["logs"], more, &[&*name]].concat();
            let (expected, ours) = (theirs(&arguments).ok(), stage.run(&arguments).ok());
            let what = format!("{program} {more:?}");
            assert_eq!(mask(&ours.stdout), mask(&expected.stdout), "{what}");
            assert_eq!(mask(&ours.stderr), mask(&expected.stderr), "{what}");
        }
        let path = ["inspect", "-f", "{{.LogPath}}", &name];
        let files = [theirs(&path), stage.run(path)].map(|ran| {
            let path = ran.ok().text().to_owned();
            records(&std::fs::read_to_string(path).unwrap_or_default())
        });
        // Two streams arrive in any order.
        let [mut expected, mut ours] = files;
        expected.sort();
        ours.sort();
        assert_eq!(ours, expected, "{program}");
        theirs(&["rm", &name]).ok();
        stage.run(["rm", &name]).ok();
    }
    for wrong in [
        &["--log-opt", "max-size=x"][..],
        &["--log-opt", "foo=1"],
        &["--log-opt", "max-file=0"],
        &["--log-opt", "compress=true"],
        &["--log-opt", "mode=x"],
        &["--log-opt", "max-buffer-size=1m"],
        &["--log-opt", "tag={{.Foo}}"],
        &["--log-opt", "labels-regex=("],
        &["--log-driver", "nope"],
        &["--log-driver", "none", "--log-opt", "a=b"],
        &["--log-driver", "local", "--log-opt", "tag=x"],
        &["--log-driver", "syslog", "--log-opt", "syslog-address=foo"],
        &["--log-driver", "syslog", "--log-opt", "syslog-facility=zz"],
        &[
            "--log-driver",
            "syslog",
            "--log-opt",
            "syslog-address=tcp://127.0.0.1:1",
        ],
    ] {
        let arguments: Vec<&str> = [&["run", "--rm"], wrong, &[docker.image(), "true"]].concat();
        let expected = run(docker.command().args(&arguments));
        let ours = stage.run(&arguments);
        assert_eq!(ours.code(), expected.code(), "{wrong:?}: {}", ours.stderr);
        // Whichever of the words Docker chooses, ours name the option or its driver.
        let named = wrong
            .last()
            .and_then(|w| w.split(['=', '{']).next())
            .unwrap_or_default();
        assert!(ours.stderr.contains(named), "{wrong:?}: {}", ours.stderr);
    }
}

/// Runs a program and gives its output to a reader of lines.
fn read_lines(mut command: Command, mut each: impl FnMut(&[u8])) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).unwrap() > 0 {
        each(&line);
        line.clear();
    }
    assert!(child.wait().unwrap().success());
}

/// A program that writes lines of a hundred bytes, all different, and how many: as many megabytes as asked for, or this.
fn many_lines(megabytes: usize) -> (String, usize) {
    let asked = std::env::var("LOG_MEGABYTES").ok();
    let megabytes = asked.map_or(megabytes, |text| {
        text.parse().expect("LOG_MEGABYTES: a number")
    });
    let lines = megabytes * 10_000;
    (format!("seq -f '%099.0f' {lines}; printf end"), lines)
}

#[test]
fn a_hundred_megabytes_arrive_whole_attached_and_logged() {
    let stage = Stage::new();
    let (script, lines) = many_lines(100);
    for driver in ["json-file", "local"] {
        let check = || {
            let mut number = 0_usize;
            let mut expected = Vec::new();
            move |line: &[u8]| {
                number += 1;
                expected.clear();
                match number <= lines {
                    true => writeln!(expected, "{number:099}").unwrap(),
                    false => expected.extend_from_slice(b"end"),
                }
                assert_eq!(line, expected);
                number
            }
        };
        let (mut shown, mut logged) = (0, 0);
        let mut see = check();
        let run = [
            "run",
            "--name",
            "much",
            "--log-driver",
            driver,
            "--log-opt",
            "max-size=100g",
        ];
        let run = stage.mini_docker(run.into_iter().chain(["host", "sh", "-c", &script]));
        read_lines(run, |line| shown = see(line));
        let mut see = check();
        read_lines(stage.mini_docker(["logs", "much"]), |line| {
            logged = see(line)
        });
        assert_eq!((shown, logged), (lines + 1, lines + 1), "{driver}");
        // Not read from its beginning.
        stage
            .run(["logs", "--tail", "2", "much"])
            .ok()
            .prints(&format!("{lines:099}\nend"));
        stage.run(["rm", "much"]).ok();
    }
}

#[test]
fn ten_followers_of_a_fast_writer_get_the_same_bytes() {
    let stage = Stage::new();
    let (script, lines) = many_lines(5);
    let mut expected = Sha256::new();
    for line in 1..=lines {
        expected.update(format!("{line:099}\n"));
    }
    expected.update("end");
    let expected = expected.finalize();
    let run = ["run", "-d", "--name", "one", "--log-opt", "max-size=100g"];
    stage
        .run(run.into_iter().chain(["host", "sh", "-c", &script]))
        .ok();
    std::thread::scope(|threads| {
        for _ in 0..10 {
            threads.spawn(|| {
                let mut seen = Sha256::new();
                let follow = stage.mini_docker(["logs", "-f", "one"]);
                read_lines(follow, |line| seen.update(line));
                assert_eq!(seen.finalize(), expected);
            });
        }
    });
    stage.run(["rm", "one"]).ok();
}

#[test]
fn ten_followers_get_the_same_bytes() {
    for stage in Stage::each() {
        let script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; echo error $i >&2; \
                      sleep 0.002; done";
        let run = [
            "run",
            "-d",
            "--name",
            "one",
            "--log-opt",
            "max-size=2k",
            "--log-opt",
        ];
        stage
            .run(
                run.into_iter()
                    .chain(["max-file=100", "host", "sh", "-c", script]),
            )
            .ok();
        let followers: Vec<_> = (0..10)
            .map(|_| {
                let mut command = stage.mini_docker(["logs", "-f", "one"]);
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let expected =
            |word: &str| -> String { (1..=300).map(|i| format!("{word} {i}\n")).collect() };
        for follower in followers {
            let output = follower.wait_with_output().unwrap();
            assert!(output.status.success());
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected("line"));
            assert_eq!(String::from_utf8_lossy(&output.stderr), expected("error"));
        }
        stage.run(["rm", "one"]).ok();
    }
}

#[test]
fn a_follower_ends_with_the_removal() {
    let stage = Stage::new();
    stage
        .run([
            "run",
            "-d",
            "--name",
            "one",
            "host",
            "sh",
            "-c",
            "echo hi; sleep 1000",
        ])
        .ok();
    let mut follower = stage
        .mini_docker(["logs", "-f", "one"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 3];
    follower
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(&first, b"hi\n");
    stage.run(["rm", "-f", "one"]).ok();
    assert!(follower.wait().unwrap().success());
    stage
        .run(["logs", "one"])
        .exits(1)
        .complains(["No such container: one"]);
}

#[test]
fn streams_are_attached_as_asked_for() {
    for stage in Stage::each() {
        let both = "echo out; echo err >&2";
        for (flags, out, err) in [
            (&[][..], "out\n", "err\n"),
            (&["-a", "stdout"], "out\n", ""),
            (&["-a", "stderr"], "", "err\n"),
            (&["-a", "stdout", "-a", "STDERR"], "out\n", "err\n"),
            (&["--log-driver", "none"], "out\n", "err\n"),
        ] {
            let arguments = [&["run", "--rm"], flags, &["host", "sh", "-c", both]].concat();
            let ran = stage.run(arguments).ok();
            assert_eq!((&*ran.stdout, &*ran.stderr), (out, err), "{flags:?}");
        }
        // Input only: its id is told, and nothing waited for.
        let stdin = [
            "run", "-i", "-a", "stdin", "--name", "one", "host", "sh", "-c",
        ];
        let stdin = stdin.into_iter().chain(["sleep 0.3; cat"]);
        let id = stage.run_with_input(stdin, b"typed\n").ok();
        assert_eq!(id.text().len(), 64);
        stage.run(["wait", "one"]).ok().prints("0\n");
        stage.run(["logs", "one"]).ok().prints("typed\n");
        let shown = stage.run(["inspect", "one"]).ok().stdout;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let config = &shown[0]["Config"];
        for (name, value) in [
            ("AttachStdin", true),
            ("AttachStdout", false),
            ("AttachStderr", false),
            ("OpenStdin", true),
            ("StdinOnce", true),
            ("Tty", false),
        ] {
            assert_eq!(config[name], value, "{name}");
        }
        // Started again, with its output here.
        stage
            .run_with_input(["start", "-ai", "one"], b"more\n")
            .ok()
            .prints("more\n");
        stage.run(["logs", "one"]).ok().prints("typed\nmore\n");
        stage
            .run(["attach", "one"])
            .exits(1)
            .complains(["You cannot attach to a stopped container, start it first"]);
        stage.run(["rm", "one"]).ok();
        // Kept open for whoever comes.
        stage
            .run(["run", "-di", "--name", "two", "host", "cat"])
            .ok();
        for text in ["first\n", "second\n"] {
            let mut child = stage
                .mini_docker(["attach", "two"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            let mut back = vec![0; text.len()];
            child
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut back)
                .unwrap();
            assert_eq!(back, text.as_bytes());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        stage.run(["logs", "two"]).ok().prints("first\nsecond\n");
        stage.run(["stop", "-t", "0", "two"]).ok();
        stage.run(["rm", "two"]).ok();
    }
}

#[test]
fn a_pipe_that_nobody_reads_ends_what_is_shown_not_what_runs() {
    let stage = Stage::new();
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done";
    let mut child = stage
        .mini_docker(["run", "--name", "one", "host", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 7];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    assert!(child.wait().unwrap().success());
    let logged = stage.run(["logs", "one"]).ok();
    assert_eq!(logged.stdout.lines().count(), 3000);
    stage.run(["rm", "one"]).ok();
}
