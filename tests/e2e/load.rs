//! Many containers at once, started by many commands at once; lists and logs stay right meanwhile.

use crate::support::Stage;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const CONTAINERS: usize = 200;
const AT_ONCE: usize = 64;

#[test]
fn two_hundred_started_at_once() {
    for stage in Stage::each() {
        let next = AtomicUsize::new(0);
        let started = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for _ in 0..AT_ONCE {
                threads.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= CONTAINERS {
                            return;
                        }
                        let script = format!("echo number {n}; exec sleep 1000");
                        let name = format!("load-{n}");
                        let ran =
                            stage.run(["run", "-d", "--name", &name, "host", "sh", "-c", &script]);
                        ran.ok();
                        started.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            // What is said to have been started is listed.
            loop {
                let before = started.load(Ordering::SeqCst);
                let ran = stage.run(["ps", "-q"]).ok();
                let listed = ran.stdout.lines().collect::<BTreeSet<_>>().len();
                assert!(listed >= before, "{before} started, {listed} listed");
                if before > 0 {
                    let any = format!("load-{}", before / 2);
                    let ran = stage.run(["logs", &any]);
                    assert!(
                        ran.code() == 0 || ran.stderr.contains("No such container"),
                        "{ran}"
                    );
                }
                if before == CONTAINERS {
                    break;
                }
            }
        });
        for n in 0..CONTAINERS {
            stage
                .run(["logs", &format!("load-{n}")])
                .ok()
                .prints(&format!("number {n}\n"));
        }
        let names: Vec<String> = (0..CONTAINERS).map(|n| format!("load-{n}")).collect();
        let mut remove = vec!["rm", "-f"];
        remove.extend(names.iter().map(String::as_str));
        stage.run(remove).ok();
        stage.run(["ps", "-a", "-q"]).ok().prints("");
    }
}
