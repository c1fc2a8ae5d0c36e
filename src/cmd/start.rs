//! `start`

use crate::cli::container::StartArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Starts containers that were made or have ended.
pub(crate) fn run(settings: &Settings, args: StartArgs) -> Result<u8, Error> {
    if args.attach || args.interactive {
        if args.containers.len() > 1 {
            return Err(Error::AttachSeveral);
        }
        let flag = if args.attach { "attach" } else { "interactive" };
        return Err(Error::FlagLater {
            flag,
            why: "attaching to a container's streams comes next",
        });
    }
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let mut failed = Vec::new();
        for name in &args.containers {
            let started = match engine.get(name) {
                Ok(container) => container.start().await,
                Err(error) => Err(error),
            };
            match started {
                Ok(()) => print::out(&format!("{name}\n"))?,
                // Told as they come, unlike by the other verbs.
                Err(error) => {
                    print::err(&Error::from(error).text(None));
                    failed.push(name.as_str());
                }
            }
        }
        match failed.is_empty() {
            true => Ok(0),
            false => Err(Error::NotStarted(failed.join(", "))),
        }
    })
}
