//! `create`

use container_core::Pull;

use super::request::{Choice, CidFile, read_and_request, with_image};
use crate::cli::run::CreateArgs;
use crate::error::Error;
use crate::print;
use crate::settings::Settings;

/// Makes a container and prints its id.
pub(crate) fn run(settings: &Settings, args: CreateArgs) -> Result<u8, Error> {
    let choice = Choice::of(settings, &args)?;
    let cid_path = args.cidfile.clone();
    let request = read_and_request(args)?;
    let cid_file = cid_path.map(CidFile::create).transpose()?;
    let engine = settings.engine()?;
    super::runtime()?.block_on(async {
        let attempt = async || {
            let mut builder = engine
                .container(request.image.as_str())
                .request(request.clone())
                .pull(Pull::Never);
            if let Some(platform) = &choice.platform {
                builder = builder.platform(platform.clone());
            }
            builder.create().await
        };
        let container = with_image(&engine, &request.image, &choice, attempt).await?;
        for warning in container.warnings() {
            print::err(&format!("WARNING: {warning}"));
        }
        if let Some(file) = cid_file {
            file.write(container.id())?;
        }
        print::out(&format!("{}\n", container.id())).map(|()| 0)
    })
}
