//! Images from a real registry that skopeo filled, and back out to skopeo.

use crate::support::{Docker, Layout, Registry, Stage, busybox, debian, not_run, run};
use std::process::Command;

/// The short form of an image's id, as tables show it.
fn short_id(image: &Layout) -> String {
    image
        .id()
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect()
}

#[test]
fn pull_run_list_remove() {
    let registry = Registry::start();
    for (name, image, program) in [
        ("busybox:one", busybox(), "/bin/busybox"),
        ("debian:stable", debian(), "/bin/bash"),
    ] {
        let reference = registry.push(&image, name);
        for stage in Stage::each() {
            let pulled = stage.run(["pull", &reference]).ok();
            assert!(
                pulled
                    .stdout
                    .contains(&format!("Digest: {}", image.digest())),
                "{pulled}"
            );
            assert!(
                pulled
                    .stdout
                    .contains(&format!("Status: Downloaded newer image for {reference}")),
                "{pulled}"
            );
            assert_eq!(
                pulled.stdout.lines().last(),
                Some(reference.as_str()),
                "{pulled}"
            );
            let again = stage.run(["pull", &reference]).ok();
            assert!(
                again
                    .stdout
                    .contains(&format!("Status: Image is up to date for {reference}")),
                "{again}"
            );

            stage
                .run(["run", "--rm", &reference, "test", "-x", program])
                .ok();
            stage
                .run(["run", "--rm", &reference, "sh", "-c", "echo $PATH"])
                .ok()
                .prints("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");

            let listed = stage.run(["images"]).ok();
            let header: Vec<&str> = listed
                .stdout
                .lines()
                .next()
                .unwrap()
                .split("  ")
                .filter(|c| !c.is_empty())
                .collect();
            let header: Vec<&str> = header.into_iter().map(str::trim).collect();
            assert_eq!(
                header,
                ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
                "{listed}"
            );
            let (repository, tag) = reference.rsplit_once(':').unwrap();
            let row: Vec<&str> = listed
                .stdout
                .lines()
                .nth(1)
                .unwrap()
                .split_whitespace()
                .collect();
            assert_eq!(row[..3], [repository, tag, &short_id(&image)], "{listed}");

            let removed = stage.run(["rmi", &reference]).ok();
            assert!(
                removed.stdout.contains(&format!("Untagged: {reference}")),
                "{removed}"
            );
            assert!(
                removed.stdout.contains(&format!("Deleted: {}", image.id())),
                "{removed}"
            );
            assert_eq!(stage.run(["images", "-q"]).ok().text(), "");
            let kept: Vec<_> = blobs(&stage);
            assert!(kept.is_empty(), "rmi kept {kept:?}");
        }
    }
}

fn blobs(stage: &Stage) -> Vec<String> {
    let dir = stage.root().join("blobs/sha256");
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn run_pulls_what_is_missing() {
    let registry = Registry::start();
    let reference = registry.push(&busybox(), "some/where/busybox:one");
    for stage in Stage::each() {
        stage
            .run(["run", "--rm", "--pull", "never", &reference, "true"])
            .exits(125)
            .complains(["no such image"]);
        stage
            .run(["run", "--rm", &reference, "echo", "hi"])
            .ok()
            .prints("hi\n");
        stage
            .run(["run", "--rm", "--pull", "never", &reference, "echo", "hi"])
            .ok()
            .prints("hi\n");
    }
}

#[test]
fn kinds_of_images_that_registries_hold() {
    let registry = Registry::start();
    let stage = Stage::new();
    for (name, arguments) in [
        ("docker:v2s2", &["--format", "v2s2"] as &[&str]),
        (
            "oci:zstd",
            &[
                "--format",
                "oci",
                "--dest-compress",
                "--dest-compress-format",
                "zstd",
            ],
        ),
        ("oci:gzip", &["--format", "oci"]),
    ] {
        let reference = registry.push_with(&busybox(), name, arguments);
        stage
            .run(["run", "--rm", &reference, "echo", name])
            .ok()
            .prints(&format!("{name}\n"));
    }
}

#[test]
fn by_digest() {
    let registry = Registry::start();
    let image = busybox();
    let reference = registry.push(&image, "busybox:one");
    let by_digest = format!(
        "{}@{}",
        reference.strip_suffix(":one").unwrap(),
        image.digest()
    );
    let stage = Stage::new();
    stage
        .run(["run", "--rm", &by_digest, "echo", "hi"])
        .ok()
        .prints("hi\n");
    // The right name with the digest of something else.
    let wrong = format!(
        "{}@sha256:{}",
        reference.strip_suffix(":one").unwrap(),
        "0".repeat(64)
    );
    stage.run(["pull", &wrong]).exits(1).complains([&*wrong]);
}

#[test]
fn skopeo_reads_what_we_keep_and_what_we_save() {
    let registry = Registry::start();
    let image = busybox();
    let reference = registry.push(&image, "busybox:one");
    for stage in Stage::each() {
        stage.run(["pull", &reference]).ok();
        let inspect =
            |what: &str| run(Command::new("skopeo").args(["inspect", "--config", what])).ok();

        let file = stage.dir().join("work/saved.tar");
        stage
            .run(["save", "-o", file.to_str().unwrap(), &reference])
            .ok()
            .prints("");
        inspect(&format!("docker-archive:{}", file.display()));

        // To standard output. skopeo 1.9 reads archives only from files that can seek, so not from the pipe itself.
        let save = stage.mini_docker(["save", &reference]);
        let mut shell = stage.command("sh");
        shell.args([
            "-c",
            "\"$@\" | cat >piped.tar && skopeo inspect --config docker-archive:piped.tar",
            "sh",
        ]);
        run(shell.arg(save.get_program()).args(save.get_args())).ok();

        // The store itself is a layout.
        let copy = stage.dir().join("copied");
        let from = format!("oci:{}:{reference}", stage.root().display());
        let to = format!("oci:{}:one", copy.display());
        run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &from, &to])).ok();
        assert_eq!(
            Layout {
                dir: copy,
                tag: "one".to_owned()
            }
            .id(),
            image.id()
        );

        // And back again.
        stage.run(["rmi", &reference]).ok();
        let loaded = stage.run(["load", "-i", file.to_str().unwrap()]).ok();
        assert_eq!(loaded.stdout, format!("Loaded image: {reference}\n"));
        stage
            .run(["run", "--rm", &reference, "echo", "hi"])
            .ok()
            .prints("hi\n");
    }
}

#[test]
fn docker_reads_what_we_save_and_we_what_docker_saves() {
    let image = busybox();
    let docker = match Docker::of_our_own(&image) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let registry = Registry::start();
    let reference = registry.push(&image, "saved:one");
    let stage = Stage::new();
    let file = stage.dir().join("work/saved.tar");
    let file = file.to_str().unwrap();
    stage.run(["pull", &reference]).ok();
    stage.run(["save", "-o", file, &reference]).ok();
    run(docker.command().args(["load", "--quiet", "--input", file])).ok();
    let id = ["image", "inspect", "--format", "{{.Id}}", &reference];
    run(docker.command().args(id))
        .ok()
        .prints(&format!("{}\n", image.id()));
    run(docker
        .command()
        .args(["run", "--rm", "--network", "none", &reference, "echo", "hi"]))
    .ok()
    .prints("hi\n");

    // A child of two layers, of which older releases write the shared one as a link.
    let (container, child) = ("docker-saves", "docker-saves:child");
    let create = [
        "create",
        "--name",
        container,
        "--network",
        "none",
        &reference,
        "touch",
        "/new",
    ];
    run(docker.command().args(create)).ok();
    run(docker.command().args(["start", "--attach", container])).ok();
    run(docker
        .command()
        .args(["commit", "--change", "LABEL a=b", container, child]))
    .ok();
    run(docker.command().args(["rm", container])).ok();
    run(docker
        .command()
        .args(["save", "--output", file, child, &reference]))
    .ok();
    stage.run(["rmi", &reference]).ok();
    stage.run(["load", "-i", file]).ok();
    stage
        .run(["run", "--rm", child, "ls", "/new"])
        .ok()
        .prints("/new\n");
}

#[test]
fn tags_history_and_inspect() {
    let registry = Registry::start();
    let image = busybox();
    let reference = registry.push(&image, "busybox:one");
    let stage = Stage::new();
    stage.run(["pull", &reference]).ok();
    stage.run(["tag", &reference, "mine:two"]).ok().prints("");
    assert_eq!(
        stage
            .run(["images", "-q", "--no-trunc", "mine:two"])
            .ok()
            .text(),
        image.id()
    );
    let ids = stage
        .run(["inspect", "--format", "{{.Id}}", "mine:two"])
        .ok();
    assert_eq!(ids.text(), image.id());
    let parsed: serde_json::Value =
        serde_json::from_str(&stage.run(["inspect", "mine:two"]).ok().stdout)
            .expect("inspect prints JSON");
    assert_eq!(parsed[0]["Id"], image.id());
    assert_eq!(parsed[0]["Config"]["Cmd"], serde_json::json!(["sh"]));
    let history = stage.run(["history", "mine:two"]).ok();
    let second: Vec<&str> = history
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(second[0], short_id(&image), "{history}");
    // One of two names goes, the image stays.
    let removed = stage.run(["rmi", &reference]).ok();
    assert!(
        removed
            .stdout
            .starts_with(&format!("Untagged: {reference}\n")),
        "{removed}"
    );
    assert!(!removed.stdout.contains("Deleted:"), "{removed}");
    stage.run(["run", "--rm", "mine:two", "true"]).ok();
}

#[test]
fn many_layers() {
    use crate::support::{Layer, Recipe};
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new().layer(Layer::busybox());
    // 128 with busybox: more than one page of mount options holds paths for.
    for number in 1..128 {
        let mut layer = Layer::new()
            .dir("n", 0o755)
            .file(&format!("n/{number}"), 0o644, b"x");
        if number % 10 == 0 {
            layer = layer.whiteout(&format!("n/{}", number - 1));
        }
        recipe = recipe.layer(layer);
    }
    let registry = Registry::start();
    let reference = registry.push(&recipe.write(dir.path()), "many:128");
    for stage in Stage::each() {
        let ran = stage
            .run([
                "run",
                "--rm",
                &reference,
                "sh",
                "-c",
                "ls /n | wc -l; test -e /n/127; test ! -e /n/9",
            ])
            .ok();
        assert_eq!(ran.text(), "115");
    }
}
