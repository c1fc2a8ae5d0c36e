//! `NetworkSettings`. There are no networks yet but `none` and `host`, which give nothing to tell.

use std::collections::BTreeMap;

use container_core::Network;
use serde::Serialize;

use super::config::Member;
use crate::print::template::{NilList, NilMap};

/// The network's name.
pub(crate) fn name(network: &Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Host => "host",
    }
}

/// Docker's `types.NetworkSettings`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "types.NetworkSettings", rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    bridge: String,
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: BTreeMap<String, Vec<Member>>,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: String,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u32,
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: NilList<String>,
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: NilList<String>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u32,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u32,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    mac_address: String,
    networks: BTreeMap<String, Endpoint>,
}

/// Docker's `network.EndpointSettings`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename = "network.EndpointSettings", rename_all = "PascalCase")]
struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<Member>,
    links: NilList<String>,
    aliases: NilList<String>,
    mac_address: String,
    driver_opts: NilMap<String>,
    gw_priority: u32,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u32,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u32,
    #[serde(rename = "DNSNames")]
    dns_names: NilList<String>,
}

impl NetworkSettings {
    pub(super) fn of(network: &Network) -> Self {
        Self {
            networks: BTreeMap::from([(name(network).to_owned(), Endpoint::default())]),
            ..Self::default()
        }
    }
}
