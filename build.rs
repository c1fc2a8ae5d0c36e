//! Has the program carry its unwinder, the only thing that it would load libgcc_s for: that took a tenth of a container's
//! start, in which the program is loaded twice.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "so a build script talks with cargo"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // It comes with every gcc; lld and GNU ld both prefer it to the shared library.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
