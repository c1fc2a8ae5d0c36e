//! `mini-docker`: arguments in, calls to the library, text out.
#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod environment;
mod error;
mod flags;
mod log;
mod machine;
mod print;
mod settings;
mod term;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os().skip(1).collect())
}
