//! Our cases in the rounds of peers-baseline.sh.

use crate::Options;
use crate::fifty;
use crate::figures::Figures;
use crate::life::IDLE;
use crate::prepare::Bench;
use crate::support;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

const SECTIONS: [char; 5] = ['a', 'c', 'd', 'e', 'i'];
/// Cases that no row of the table speaks of.
const LEFT_OUT: &str =
    "docker-bridge,docker-host,docker28,podman-bridge,podman-host,podman-none-runc,ctr,nsenter";
/// The container of section c.
const EXEC: &str = "pb-x";

/// Our cases, as peers-baseline.sh takes them: section, name, before, timed, after.
fn cases(bench: &Bench) -> String {
    let (ours, dir) = (bench.program(), bench.dir().display());
    let busybox = bench.busybox();
    let one = format!("{}/debian-pull:one", bench.registry);
    let fifty = bench.fifty.reference(fifty::NAME);
    let mut cases = format!(
        "a\tmini-docker\t-\t{ours} run --rm --network none {busybox} true\t-\n\
         a\tmini-docker host\t-\t{ours} run --rm --network none host true\t-\n\
         c\tmini-docker\t-\t{ours} exec {EXEC} true\t-\n\
         i\tmini-docker\t-\tseq 50 | xargs -P 50 -I@ sh -c 'exec {ours} run -d --name pb-p@ --network none {busybox} sleep 100000 >/dev/null'\t{ours} rm -f $(seq -f pb-p%g 50)\n"
    );
    for (name, image) in [("one", &one), ("fifty", &fifty)] {
        let clear = format!("rm -rf {dir}/skopeo {dir}/umoci");
        let remove = format!("{ours} rmi {image}");
        let _ = write!(
            cases,
            "e\t{name}: mini-docker\t{remove}\t{ours} pull {image}\t{remove}\n\
             e\t{name}: skopeo+umoci\t{clear}\tskopeo copy -q --src-tls-verify=false docker://{image} oci:{dir}/skopeo:x && umoci unpack --image {dir}/skopeo:x {dir}/umoci\t{clear}\n"
        );
    }
    let _ = write!(
        cases,
        "e\tfifty: podman\tpodman rmi -f {fifty}\tpodman pull -q --tls-verify=false {fifty}\tpodman rmi -f {fifty}\n\
         e\tfifty: docker\tdocker rmi -f {fifty}\tdocker pull -q {fifty}\tdocker rmi -f {fifty}\n"
    );
    cases
}

/// Runs those of its sections that are wanted.
pub(crate) fn measure(bench: &Bench, options: &Options, figures: &mut Figures) {
    let wanted = SECTIONS.iter().filter(|letter| options.wants(**letter));
    let only = wanted.map(char::to_string).collect::<Vec<_>>().join(",");
    if only.is_empty() {
        return;
    }
    let exec = options.wants('c');
    if exec {
        let image = bench.busybox();
        let run = ["run", "-d", "--name", EXEC, "--network", "none", &image];
        support::run(bench.ours(&run).args(["sh", "-c", IDLE])).ok();
        let said = support::run(&mut bench.ours(&["exec", EXEC, "echo", "hi"]));
        said.ok().prints("hi\n");
    }
    let (cases_file, result) = (bench.dir().join("cases"), bench.dir().join("result"));
    fs::write(&cases_file, cases(bench)).expect("write the cases");
    let status = Command::new(&bench.tool)
        .arg("--root")
        .arg(&bench.peers)
        .args(["--runs", &options.runs.to_string()])
        .args(["--heavy", &options.heavy().to_string()])
        .args(["--only", &only, "--skip-peer", LEFT_OUT, "--extra"])
        .arg(&cases_file)
        .arg("--json")
        .arg(&result)
        .stdin(Stdio::null())
        .status()
        .expect("run peers-baseline.sh");
    assert!(status.success(), "peers-baseline.sh failed: {status}");
    if exec {
        support::run(&mut bench.ours(&["rm", "-f", EXEC])).ok();
    }
    let result = fs::read(result).expect("read the result");
    take(
        &serde_json::from_slice(&result).expect("a JSON result"),
        figures,
    );
}

/// Takes the figures of its result over.
fn take(result: &Value, figures: &mut Figures) {
    for (section, content) in result.as_object().into_iter().flatten() {
        for (case, measured) in content["cases"].as_object().into_iter().flatten() {
            let seconds = measured["s"].as_array().into_iter().flatten();
            for seconds in seconds.filter_map(Value::as_f64) {
                figures.add(section, case, seconds * 1000.0);
            }
        }
    }
    // What, how many, RSS, PSS, …
    for row in result["d"].as_array().into_iter().flatten() {
        if let (Some(what), Some(pss)) = (row[0].as_str(), row[3].as_f64()) {
            let program = what.split(' ').next().unwrap_or_default();
            figures.add("d", program, pss);
        }
    }
}
