//! What the verbs of images print.

use crate::support::Stage;
use crate::support::{busybox, run};

/// Saved by skopeo as `docker save` would, under a name.
fn archive(stage: &Stage, name: &str) -> String {
    let path = stage.dir().join("image.tar").display().to_string();
    let to = format!("docker-archive:{path}:{name}");
    let image = busybox();
    let mut skopeo = std::process::Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet", &image.skopeo(), &to]);
    run(&mut skopeo).ok();
    path
}

#[test]
fn from_load_to_rmi() {
    let stage = Stage::new();
    let path = archive(&stage, "test/busybox:1");
    let id = busybox().id();
    let id = id.strip_prefix("sha256:").unwrap_or(&id);
    let short = &id[..12];
    stage
        .run(["load", "-i", &path])
        .ok()
        .prints("Loaded image: test/busybox:1\n");
    stage
        .run(["images", "-q"])
        .ok()
        .prints(&format!("{short}\n"));
    stage
        .run(["tag", "test/busybox:1", "other"])
        .ok()
        .prints("");
    stage
        .run(["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])
        .ok()
        .prints(&format!("other:latest {short}\ntest/busybox:1 {short}\n"));
    stage
        .run(["images", "-q", "--no-trunc", "other"])
        .ok()
        .prints(&format!("sha256:{id}\n"));
    stage
        .run(["images", "-q", "--filter", "dangling=true"])
        .ok()
        .prints("");
    stage
        .run([
            "image",
            "inspect",
            "-f",
            "{{.Id}} {{.RepoTags}} {{.Os}}",
            short,
        ])
        .ok()
        .prints(&format!(
            "sha256:{id} [other:latest test/busybox:1] linux\n"
        ));
    stage
        .run(["run", "--rm", "other", "echo", "hi"])
        .ok()
        .prints("hi\n");
    let saved = stage.dir().join("saved.tar").display().to_string();
    stage.run(["save", "-o", &saved, "other"]).ok().prints("");
    stage
        .run(["rmi", short])
        .exits(1)
        .complains(["conflict", "multiple repositories"]);
    stage
        .run(["rmi", "other"])
        .ok()
        .prints("Untagged: other:latest\n");
    let removed = stage.run(["rmi", "test/busybox:1"]).ok();
    assert!(
        removed
            .stdout
            .starts_with("Untagged: test/busybox:1\nDeleted: sha256:"),
        "{removed}"
    );
    stage
        .run(["load", "-i", &saved])
        .ok()
        .prints("Loaded image: other:latest\n");
    let pruned = stage.run(["image", "prune", "-af"]).ok();
    assert!(
        pruned.stdout.contains("\nTotal reclaimed space: "),
        "{pruned}"
    );
    stage.run(["images", "-q"]).ok().prints("");
}
