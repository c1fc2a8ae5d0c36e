//! `update`

use container_core::request::Limits;

use super::each;
use crate::cli::container::UpdateArgs;
use crate::error::Error;
use crate::flags::restart;
use crate::settings::Settings;

/// Changes limits and restart policies of containers.
pub(crate) fn run(settings: &Settings, args: UpdateArgs) -> Result<u8, Error> {
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let limits = Limits {
        // Docker's zero means to leave it as it is, for each of them.
        memory: args.memory.filter(|bytes| *bytes != 0),
        memory_swap: args.memory_swap.filter(|bytes| *bytes != 0),
        memory_reservation: args.memory_reservation.filter(|bytes| *bytes != 0),
        cpus: args.cpus.filter(|cpus| *cpus != 0.0),
        cpu_shares: args.cpu_shares.filter(|shares| *shares != 0),
        cpu_quota: args.cpu_quota.filter(|quota| *quota != 0),
        cpu_period: args.cpu_period.filter(|period| *period != 0),
        cpu_rt_period: args.cpu_rt_period.filter(|period| *period != 0),
        cpu_rt_runtime: args.cpu_rt_runtime.filter(|runtime| *runtime != 0),
        cpuset_cpus: set(args.cpuset_cpus),
        cpuset_mems: set(args.cpuset_mems),
        pids: args.pids_limit.filter(|pids| *pids != 0),
        blkio_weight: args.blkio_weight.filter(|weight| *weight != 0),
        ..Limits::default()
    };
    let policy = set(args.restart);
    let limits = (limits != Limits::default()).then_some(limits);
    if limits.is_none() && policy.is_none() {
        return Err(Error::NothingToUpdate);
    }
    let policy = policy.as_deref().map(restart::parse).transpose()?;
    each::in_turn(settings, &args.containers, async |engine, name| {
        let container = engine.get(name)?;
        container.update(limits.clone(), policy).await?;
        Ok(name.to_owned())
    })
}
