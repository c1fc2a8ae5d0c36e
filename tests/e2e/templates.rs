//! Templates, printed by `mini-docker` and by Docker's own client for the same container.

use crate::support::{Docker, Ran, Registry, Stage, busybox, not_run, run};

/// Templates for `inspect`, right and wrong ones, with lines of `%%` between.
const INSPECT: &str = include_str!("templates.txt");

/// Formats for `ps`.
const PS: &[&str] = &[
    "{{.Names}}",
    "{{.Names}}\\t{{.Image}}\\n",
    "  {{.Names}}  ",
    "table {{.Names}}\\t{{.State}}",
    "table {{.Names}} {{.State}}",
    "table {{.Names|upper}}\\t{{json .Names}}\\t{{truncate .State 3}}\\t{{.Networks}}",
    "table {{.Label \"com.x-y\"}}\\t{{.Labels}}\\t{{.LocalVolumes}}",
    "table {{pad .Names 1 2}}\\t{{.Command}}",
    "table {{.Mounts}}\\t{{.Ports}}\\t{{.Command}}",
    "table {{len .Names}}\\t{{printf \"%.2s\" .State}}",
    "table {{if .Names}}{{.Names}}{{else}}-{{end}}",
    "{{.Label \"com.x-y\"}}|{{.Label \"nope\"}}|",
    "{{.Labels}}",
    "{{.Command}} {{.Mounts}} {{.Networks}} {{.Ports}}|",
    "{{json .Names}} {{json .Labels}}",
    "{{split .Names \"-\"}} {{join (split .Names \"-\") \"_\"}} {{title .State}}",
    "{{range $i, $p := split .Names \"-\"}}{{$i}}={{$p}} {{end}}",
    "{{if eq .State \"running\"}}up{{end}}",
    "{{.Nope}}",
    "{{.Names.Nope}}",
    "{{.Names \"x\"}}",
    "{{.Label}}",
    "{{.Label 1}}",
    "{{foo}}",
    "{{.Names",
    "table {{.Nope}}",
    "table {{foo}}",
];

/// What a client says, without who says it.
fn said(ran: Ran) -> (i32, String, String) {
    let code = ran.code();
    let stderr = ran.stderr.replacen("mini-docker: ", "", 1);
    (code, ran.stdout, stderr)
}

#[test]
fn printed_as_by_docker() {
    let image = busybox();
    let docker = match Docker::with(&image) {
        Ok(docker) => docker,
        Err(why) => not_run!("{why}"),
    };
    let registry = Registry::start();
    let reference = registry.push(&image, "templates:one");
    let stage = Stage::new();
    stage.run(["pull", &reference]).ok();
    stage.run(["tag", &reference, docker.image()]).ok();
    let name = format!("templates-{}", std::process::id());
    let create: Vec<&str> =
        "--network none --hostname tmpl -l com.x-y=1 -l a-b=c -e FOO=bar -m 64m --tmpfs /t:size=1m"
            .split(' ')
            .chain(["--name", &name, docker.image(), "sleep", "1000"])
            .collect();
    let theirs = run(docker.command().args(["run", "-d"]).args(&create)).ok();
    stage.run(["run", "-d"].iter().chain(&create)).ok();
    let mut differ = Vec::new();
    let mut compare = |arguments: &[&str]| {
        let want = said(run(docker.command().args(arguments)));
        let have = said(stage.run(arguments));
        if want != have {
            differ.push(format!(
                "{arguments:?}\n  docker {want:?}\n  ours   {have:?}"
            ));
        }
    };
    let templates: Vec<&str> = INSPECT.trim_end_matches('\n').split("\n%%\n").collect();
    assert!(templates.len() >= 150, "{}", templates.len());
    for template in templates {
        compare(&["inspect", "-f", template, &name]);
    }
    let filter = format!("name=^/{name}$");
    for format in PS {
        compare(&["ps", "--filter", &filter, "--format", format]);
    }
    run(docker.command().args(["rm", "-f", theirs.text()])).ok();
    stage.run(["rm", "-f", &name]).ok();
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
}
