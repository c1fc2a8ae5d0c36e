//! The verbs of containers, on containers that run.

use crate::support::{Registry, Stage, busybox};
use serde_json::Value;

/// A stage of each kind, with an image.
fn stages() -> (Registry, String, Vec<Stage>) {
    let registry = Registry::start();
    let image = registry.push(&busybox(), "busybox:one");
    let stages = Stage::each();
    for stage in &stages {
        stage.run(["pull", "-q", &image]).ok();
    }
    (registry, image, stages)
}

/// One object of `inspect`.
fn inspect(stage: &Stage, name: &str) -> Value {
    let shown = stage.run(["inspect", name]).ok();
    let mut objects: Vec<Value> = serde_json::from_str(&shown.stdout).expect("inspect prints JSON");
    objects.remove(0)
}

#[test]
fn a_life() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        let state = |name: &str| stage.run(["inspect", "-f", "{{.State.Status}}", name]).ok();
        let made = stage
            .run([
                "create", "--name", "one", "-l", "a=b", &image, "sleep", "1000",
            ])
            .ok();
        assert_eq!(made.text().len(), 64, "{made}");
        state("one").prints("created\n");
        stage.run(["ps", "-q"]).ok().prints("");
        stage
            .run(["ps", "-aq", "--no-trunc"])
            .ok()
            .prints(&made.stdout);
        stage.run(["start", "one"]).ok().prints("one\n");
        // One that runs is left alone.
        stage.run(["start", "one"]).ok().prints("one\n");
        state("one").prints("running\n");
        let prefix = &made.text()[..12];
        stage.run(["ps", "-q"]).ok().prints(&format!("{prefix}\n"));
        stage.run(["rename", prefix, "two"]).ok().prints("");
        let row = stage
            .run([
                "ps",
                "--format",
                "{{.Names}} {{.Image}} {{.Command}} {{.State}}",
            ])
            .ok();
        assert_eq!(row.text(), format!("two {image} \"sleep 1000\" running"));
        stage
            .run(["rm", "two"])
            .exits(1)
            .complains(["cannot remove a running container"]);
        stage
            .run(["kill", "-s", "CONT", "two"])
            .ok()
            .prints("two\n");
        state("two").prints("running\n");
        stage
            .run(["restart", "-t", "0", "two"])
            .ok()
            .prints("two\n");
        state("two").prints("running\n");
        stage.run(["stop", "-t", "0", "two"]).ok().prints("two\n");
        let stopped = inspect(&stage, "two");
        assert_eq!(stopped["State"]["ExitCode"], 137);
        assert_eq!(stopped["State"]["Running"], false);
        assert_eq!(stopped["Config"]["Labels"]["a"], "b");
        stage.run(["wait", "two"]).ok().prints("137\n");
        stage
            .run(["kill", "two"])
            .exits(1)
            .complains(["cannot kill container: two: container", "is not running"]);
        let ended = stage.run(["ps", "-a", "--format", "{{.Status}}"]).ok();
        assert!(ended.text().starts_with("Exited (137) "), "{ended}");
        stage.run(["rm", "two"]).ok().prints("two\n");
        stage.run(["ps", "-aq"]).ok().prints("");
    }
}

#[test]
fn several_containers_and_those_that_are_not_there() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        for name in ["aa", "bb"] {
            stage
                .run(["create", "--name", name, &image, "sleep", "1000"])
                .ok();
        }
        let started = stage.run(["start", "aa", "none", "bb"]).exits(1);
        assert_eq!(started.stdout, "aa\nbb\n");
        assert_eq!(
            started.stderr,
            "mini-docker: No such container: none\nmini-docker: failed to start containers: none\n"
        );
        let stopped = stage.run(["stop", "-t", "0", "aa", "none", "bb"]).exits(1);
        assert_eq!(stopped.stdout, "aa\nbb\n");
        assert_eq!(stopped.stderr, "mini-docker: No such container: none\n");
        stage.run(["wait", "aa", "bb"]).ok().prints("137\n137\n");
        let removed = stage.run(["rm", "aa", "none", "bb"]).exits(1);
        assert_eq!(removed.stdout, "aa\nbb\n");
        stage
            .run(["rm", "-f", "none"])
            .ok()
            .complains(["no such container"]);
    }
}

#[test]
fn further_processes() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        stage
            .run([
                "run", "-d", "--name", "box", "-e", "A=1", "-w", "/tmp", &image, "sleep", "1000",
            ])
            .ok();
        stage.run(["exec", "box", "echo", "hi"]).ok().prints("hi\n");
        stage.run(["exec", "box", "pwd"]).ok().prints("/tmp\n");
        stage
            .run(["exec", "-w", "/bin", "box", "pwd"])
            .ok()
            .prints("/bin\n");
        stage
            .run([
                "exec",
                "-e",
                "A=2",
                "-e",
                "B=3",
                "box",
                "sh",
                "-c",
                "echo $A$B",
            ])
            .ok()
            .prints("23\n");
        let file = stage.file("env", b"# no\nA=4\nC=5\n");
        let file = file.to_str().unwrap();
        stage
            .run([
                "exec",
                "--env-file",
                file,
                "-e",
                "C=6",
                "box",
                "sh",
                "-c",
                "echo $A$C",
            ])
            .ok()
            .prints("46\n");
        stage.run(["exec", "box", "sh", "-c", "exit 5"]).exits(5);
        stage
            .run(["exec", "box", "sh", "-c", "kill -9 $$"])
            .exits(137);
        stage
            .run(["exec", "box", "nosuch"])
            .exits(127)
            .complains(["nosuch", "not found"]);
        stage
            .run(["exec", "box", "/etc/passwd"])
            .exits(126)
            .complains(["/etc/passwd"]);
        stage
            .run(["exec", "-u", "nobody-here", "box", "id"])
            .exits(126);
        stage
            .run(["exec", "-w", "/nowhere", "box", "pwd"])
            .exits(126)
            .complains(["/nowhere", "no such file or directory"]);
        stage
            .run(["exec", "box", "test", "-e", "/nowhere"])
            .exits(1);
        // Standard input is there only when it is asked for.
        stage
            .run_with_input(["exec", "-i", "box", "cat"], b"in\n")
            .ok()
            .prints("in\n");
        stage
            .run_with_input(["exec", "box", "cat"], b"in\n")
            .ok()
            .prints("");
        stage
            .run(["exec", "-it", "box", "true"])
            .exits(1)
            .complains(["not a tty"]);
        stage
            .run(["exec", "-t", "box", "tty"])
            .ok()
            .prints("/dev/pts/0\r\n");
        stage
            .run(["exec", "-d", "box", "touch", "/tmp/left"])
            .ok()
            .prints("");
        let there = "while ! test -e /tmp/left; do :; done";
        stage.run(["exec", "box", "sh", "-c", there]).ok();
        stage.run(["rm", "-f", "box"]).ok();
        stage
            .run(["exec", "box", "true"])
            .exits(1)
            .complains(["no such container"]);
        stage.run(["create", "--name", "box", &image, "true"]).ok();
        stage
            .run(["exec", "box", "true"])
            .exits(1)
            .complains(["is not running"]);
        stage.run(["rm", "box"]).ok();
    }
}

#[test]
fn what_is_running_and_what_has_happened() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        stage
            .run([
                "run", "-d", "--name", "box", "-l", "x=y", &image, "sleep", "1234",
            ])
            .ok();
        let top = stage.run(["top", "box"]).ok();
        let lines: Vec<&str> = top.stdout.lines().collect();
        assert!(lines[0].starts_with("UID                 PID  "), "{top}");
        assert!(lines[1].ends_with(" sleep 1234"), "{top}");
        assert_eq!(lines.len(), 2, "{top}");
        stage
            .run(["top", "box", "-o", "comm"])
            .exits(1)
            .complains(["pid"]);
        stage.run(["top", "box", "-o", "pid,comm"]).ok();

        let stats = stage
            .run(["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"])
            .ok();
        assert!(["box 1", "box --"].contains(&stats.text()), "{stats}");
        let table = stage.run(["stats", "--no-stream", "box"]).ok();
        let header = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT";
        assert!(table.stdout.starts_with(header), "{table}");

        stage.run(["exec", "box", "true"]).ok();
        stage.run(["rm", "-f", "box"]).ok();
        let format = "{{.Action}} {{.Actor.Attributes.name}}";
        let told = |filter: &str| {
            let filter = format!("event={filter}");
            let arguments = [
                "events", "--since", "1h", "--until", "0s", "--filter", &filter,
            ];
            stage
                .run(arguments.into_iter().chain(["--format", format]))
                .ok()
        };
        told("create").prints("create box\n");
        told("start").prints("start box\n");
        told("exec_start").prints("exec_start: true  box\n");
        told("die").prints("die box\n");
        told("destroy").prints("destroy box\n");
        let lines = stage
            .run([
                "events",
                "--since",
                "1h",
                "--until",
                "0s",
                "--filter",
                "label=x=y",
            ])
            .ok();
        let first = lines.stdout.lines().next().unwrap_or_default().to_owned();
        assert!(first.contains("Z container create "), "{lines}");
        assert!(
            first.ends_with(&format!(" (image={image}, name=box, x=y)")),
            "{lines}"
        );
    }
}

#[test]
fn what_nobody_needs() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        let script = "echo 12345 >/five; sleep 1000";
        stage
            .run(["run", "-d", "--name", "up", &image, "sh", "-c", script])
            .ok();
        stage
            .run(["run", "--name", "ended", "-l", "old", &image, "true"])
            .ok();
        let made = stage
            .run(["create", "--name", "made", "-v", "/data", &image, "true"])
            .ok();
        let five = "while ! test -s /five; do :; done";
        stage.run(["exec", "up", "sh", "-c", five]).ok();
        let sized = stage.run(["ps", "-s", "--format", "{{.Size}}"]).ok();
        assert!(sized.text().starts_with("6B (virtual "), "{sized}");
        let usage = stage
            .run([
                "system",
                "df",
                "--format",
                "{{.Type}} {{.TotalCount}} {{.Active}}",
            ])
            .ok();
        assert_eq!(
            usage.stdout,
            "Images 1 1\nContainers 3 1\nLocal Volumes 1 1\nBuild Cache 0 0\n"
        );
        let detail = stage.run(["system", "df", "-v"]).ok();
        assert!(
            detail
                .stdout
                .contains("Containers space usage:\n\nCONTAINER ID   IMAGE"),
            "{detail}"
        );

        let old = stage
            .run(["container", "prune", "-f", "--filter", "label=old"])
            .ok();
        assert!(old.stdout.starts_with("Deleted Containers:\n"), "{old}");
        assert!(
            old.stdout.ends_with("\n\nTotal reclaimed space: 0B\n"),
            "{old}"
        );
        let young = stage
            .run(["container", "prune", "-f", "--filter", "until=1h"])
            .ok();
        young.prints("Total reclaimed space: 0B\n");
        stage
            .run_with_input(["container", "prune"], b"n\n")
            .exits(1)
            .complains(["container prune has been cancelled"]);
        let rest = stage.run_with_input(["container", "prune"], b"y\n").ok();
        assert!(rest.stdout.contains(made.text()), "{rest}");
        let names = stage.run(["ps", "-a", "--format", "{{.Names}}"]).ok();
        names.prints("up\n");
        // The volume of a container that was pruned is left, until it is asked for.
        let volumes = || {
            stage
                .run(["system", "df", "--format", "{{.Type}} {{.TotalCount}}"])
                .ok()
        };
        assert!(volumes().stdout.contains("Local Volumes 1\n"));
        stage.run(["system", "prune", "-f"]).ok();
        assert!(volumes().stdout.contains("Local Volumes 1\n"));
        let all = stage.run(["system", "prune", "-f", "--volumes"]).ok();
        assert!(all.stdout.starts_with("Deleted Volumes:\n"), "{all}");
        assert!(volumes().stdout.contains("Local Volumes 0\n"));
        let info = stage
            .run([
                "info",
                "-f",
                "{{.Containers}} {{.ContainersRunning}} {{.Images}}",
            ])
            .ok();
        info.prints("1 1 1\n");
        stage.run(["rm", "-f", "up"]).ok();
        let last = stage.run(["system", "prune", "-af"]).ok();
        assert!(
            last.stdout.contains(&format!("untagged: {image}\n")),
            "{last}"
        );
        stage.run(["images", "-q"]).ok().prints("");
    }
}

#[test]
fn frozen_updated_and_watched() {
    let (_registry, image, stages) = stages();
    for stage in stages {
        let create = ["run", "-d", "--name", "box", "--health-interval", "10ms"];
        let check = ["--health-cmd", "test -e /ready", "--health-retries", "1"];
        let arguments = create.iter().chain(&check).copied();
        stage
            .run(arguments.chain([image.as_str(), "sleep", "1000"]))
            .ok();
        stage
            .run(["update", "--restart", "on-failure:3", "box"])
            .ok()
            .prints("box\n");
        let policy = inspect(&stage, "box")["HostConfig"]["RestartPolicy"].clone();
        assert_eq!(
            policy,
            serde_json::json!({"Name": "on-failure", "MaximumRetryCount": 3})
        );
        wait_for(&stage, "unhealthy");
        stage.run(["exec", "box", "touch", "/ready"]).ok();
        wait_for(&stage, "healthy");
        let healthy = stage
            .run([
                "ps",
                "--filter",
                "health=healthy",
                "--format",
                "{{.Status}}",
            ])
            .ok();
        assert!(healthy.text().ends_with(" (healthy)"), "{healthy}");
        let test = &inspect(&stage, "box")["Config"]["Healthcheck"]["Test"];
        assert_eq!(*test, serde_json::json!(["CMD-SHELL", "test -e /ready"]));
        if !stage.is_rootless() {
            stage.run(["pause", "box"]).ok().prints("box\n");
            stage
                .run(["pause", "box"])
                .exits(1)
                .complains(["is already paused"]);
            stage
                .run(["exec", "box", "true"])
                .exits(1)
                .complains(["is paused"]);
            stage.run(["start", "box"]).exits(1).complains(["paused"]);
            let status = stage
                .run(["ps", "--filter", "status=paused", "--format", "{{.Status}}"])
                .ok();
            assert!(status.text().ends_with(" (Paused)"), "{status}");
            stage.run(["unpause", "box"]).ok().prints("box\n");
            stage
                .run(["unpause", "box"])
                .exits(1)
                .complains(["is not paused"]);
            stage
                .run(["update", "-m", "64m", "--memory-swap", "-1", "box"])
                .ok();
            assert_eq!(inspect(&stage, "box")["HostConfig"]["Memory"], 64 << 20);
        }
        stage.run(["rm", "-f", "box"]).ok();
    }
}

/// Waits for a verdict: events tell of it.
fn wait_for(stage: &Stage, verdict: &str) {
    let status = ["inspect", "-f", "{{.State.Health.Status}}", "box"];
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while stage.run(status).ok().text() != verdict {
        assert!(std::time::Instant::now() < deadline, "never {verdict}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
