//! An image of a container's changes: 200 files of a megabyte, half of each as good as random.

use crate::fifty;
use crate::figures::Figures;
use crate::prepare::Bench;
use crate::rounds::{Case, rounds, run};
use std::fs;

pub(crate) fn measure(bench: &Bench, runs: usize, figures: &mut Figures) {
    let change = bench.dir().join("change");
    fs::create_dir(&change).expect("make a directory");
    let mut noise = fifty::noise();
    for number in 0..200 {
        let mut content = vec![b'x'; 1_000_000];
        content[..500_000].fill_with(&mut noise);
        fs::write(change.join(format!("file-{number}")), content).expect("write a file");
    }
    let change = change.display();
    let mut cases = Vec::new();
    for engine in bench.engines() {
        let (program, busybox) = (&engine.program, &engine.busybox);
        let made = format!(
            "{program} create --name pb-commit {busybox} true && {program} cp {change} pb-commit:/change"
        );
        run(bench, &made, 0).expect("a container with changes");
        let image = "localhost/pb-commit:{i}";
        let commit = format!("{program} commit pb-commit {image}");
        cases.push(Case::new(engine.name, commit).after(format!("{program} rmi {image}")));
    }
    // It writes the layer twice: compressed as these, and for containers to use.
    let floor = bench.dir().join("floor");
    let floor = floor.display();
    for (name, compress) in [("tar, gzip", "| gzip -6 -n"), ("tar", "")] {
        let copy = format!("mkdir {floor} && tar -C {change} -c . {compress} >{floor}/tar");
        cases.push(Case::new(name, copy).after(format!("rm -r {floor}")));
    }
    rounds(bench, "m", &cases, runs, figures);
    for engine in bench.engines() {
        run(bench, &format!("{} rm -f pb-commit", engine.program), 0).expect("remove a container");
    }
}
