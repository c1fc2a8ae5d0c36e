//! `completion`

use clap_complete::{Shell, generate};

use crate::cli::program::CompletionArgs;
use crate::cli::{NAME, tree};
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Prints the script for a shell.
pub(crate) fn run(_: &Settings, args: CompletionArgs) -> Result<u8, Error> {
    let shell = match args.shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(Error::Shell(other.to_owned())),
    };
    let mut script = Vec::new();
    generate(shell, &mut tree::command(), NAME, &mut script);
    print::out(&String::from_utf8_lossy(&script)).map(|()| 0)
}
