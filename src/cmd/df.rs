//! `system df`

use std::collections::HashMap;

use container_core::image::Digest;
use container_core::image::store::ImageSummary;
use container_core::{Engine, Inspect};
use jiff::Timestamp;

use crate::cli::system::DfArgs;
use crate::error::Error;
use crate::print::df::{self, ImageLayers, Shares, Usage, row};
use crate::print::rows::is_default;
use crate::print::{self, containers, images, rows, size};
use crate::settings::Settings;

/// Tells how much is used, and how much of it nobody needs.
pub(crate) fn run(settings: &Settings, args: DfArgs) -> Result<u8, Error> {
    let default = is_default(args.format.as_deref());
    if args.verbose && !default {
        return Err(Error::VerboseFormat);
    }
    let look = Look::at(&settings.engine()?)?;
    if args.verbose {
        return print::out(&look.in_detail()?).map(|()| 0);
    }
    let kinds = [
        row("Images", look.images),
        row("Containers", look.container_usage()),
        row("Local Volumes", look.volume_usage()),
        row("Build Cache", Usage::default()),
    ];
    let format = match args.format.as_deref() {
        _ if default => df::TABLE,
        format => format.unwrap_or_default(),
    };
    print::out(&rows::rows(format, df::TITLES, &kinds)?).map(|()| 0)
}

/// All there is, and its sizes.
struct Look {
    images: Usage,
    summaries: Vec<(ImageSummary, Shares, usize)>,
    containers: Vec<(Inspect, u64)>,
    volumes: Vec<VolumeUse>,
}

/// A volume, what it holds and how many containers have it.
struct VolumeUse {
    name: String,
    size: u64,
    users: usize,
}

fn volumes(engine: &Engine) -> Result<Vec<VolumeUse>, container_core::Error> {
    let volumes = engine.volumes();
    let users = volumes.all_users()?;
    let mut found = Vec::new();
    for volume in volumes.list()? {
        found.push(VolumeUse {
            size: volumes.size(&volume.name)?,
            users: users.get(&volume.name).map_or(0, Vec::len),
            name: volume.name,
        });
    }
    Ok(found)
}

impl Look {
    fn at(engine: &Engine) -> Result<Self, Error> {
        let listed = engine.containers()?;
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for image in listed.iter().filter_map(|c| c.record.image.as_ref()) {
            *users.entry(image.clone()).or_default() += 1;
        }
        let sizes = super::runtime()?.block_on(engine.sizes(&listed))?;
        let sized = listed.into_iter().zip(sizes.iter().map(|s| s.changes));
        let store = engine.store();
        let summaries = store.images()?;
        let mut all = Vec::with_capacity(summaries.len());
        for summary in &summaries {
            let image = store.find(summary.id.as_ref())?;
            let mut layers = Vec::with_capacity(image.layers.len());
            for layer in &image.layers {
                layers.push((layer.chain_id.clone(), store.layer_size(layer)?));
            }
            all.push(ImageLayers {
                layers,
                containers: users.get(&summary.id).copied().unwrap_or(0),
            });
        }
        let (images, shares) = df::images(&all);
        let summaries = summaries.into_iter().zip(shares).zip(all);
        Ok(Self {
            images,
            summaries: summaries
                .map(|((summary, shares), image)| (summary, shares, image.containers))
                .collect(),
            containers: sized.collect(),
            volumes: volumes(engine)?,
        })
    }

    fn container_usage(&self) -> Usage {
        let live = |(container, _): &&(Inspect, u64)| container.state.status.is_live();
        let sum = |all: &mut dyn Iterator<Item = &(Inspect, u64)>| all.map(|(_, size)| size).sum();
        Usage {
            total: self.containers.len(),
            active: self.containers.iter().filter(live).count(),
            size: sum(&mut self.containers.iter()),
            reclaimable: sum(&mut self.containers.iter().filter(|c| !live(c))),
        }
    }

    fn volume_usage(&self) -> Usage {
        let unused = |volume: &&VolumeUse| volume.users == 0;
        Usage {
            total: self.volumes.len(),
            active: self.volumes.iter().filter(|v| v.users > 0).count(),
            size: self.volumes.iter().map(|v| v.size).sum(),
            reclaimable: self.volumes.iter().filter(unused).map(|v| v.size).sum(),
        }
    }

    /// `--verbose`
    fn in_detail(self) -> Result<String, Error> {
        let now = Timestamp::now();
        let options = images::Options {
            digests: false,
            no_trunc: false,
            now,
        };
        let mut shown = Vec::new();
        for (summary, shares, users) in self.summaries {
            for mut row in images::rows(std::iter::once(summary), &[], &options) {
                row.shared_size = size::human_exact(shares.shared);
                row.unique_size = size::human_exact(shares.unique);
                row.containers = users.to_string();
                shown.push(row);
            }
        }
        let images = rows::rows(df::IMAGES, images::TITLES, &shown)?;
        let options = containers::Options {
            no_trunc: false,
            now,
        };
        let shown: Vec<_> = self
            .containers
            .iter()
            .map(|(container, size)| {
                let image = container.record.request.image.clone();
                containers::row(container, image, Some((*size, 0)), &options)
            })
            .collect();
        let containers = rows::rows(df::CONTAINERS, containers::TITLES, &shown)?;
        let volume = |volume: VolumeUse| df::VolumeRow {
            links: volume.users.to_string(),
            name: volume.name,
            size: size::human(volume.size),
        };
        let shown: Vec<_> = self.volumes.into_iter().map(volume).collect();
        let volumes = rows::rows(df::VOLUMES, df::VOLUME_TITLES, &shown)?;
        Ok(format!(
            "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\n\
             Local Volumes space usage:\n\n{volumes}\nBuild cache usage: 0B\n\n\
             CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n"
        ))
    }
}
