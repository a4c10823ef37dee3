//! Routes.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::program::{
    object::{RouteKey, RouteSpec},
    problem::Refusal,
};

pub(super) fn read(route: &pb::Route) -> Result<RouteSpec, Refusal> {
    Ok(RouteSpec {
        vrf: field::id("route.vrf", route.vrf)?,
        prefix: field::prefix("route.prefix", &route.prefix)?,
        next_hop: field::id("route.next_hop", route.next_hop)?,
        source: field::nibble("route.source", route.source)?,
        preference: field::nibble("route.preference", route.preference)?,
    })
}

pub(super) fn read_key(key: &pb::RouteKey) -> Result<RouteKey, Refusal> {
    Ok(RouteKey {
        vrf: field::id("route.vrf", key.vrf)?,
        prefix: field::prefix("route.prefix", &key.prefix)?,
        source: field::nibble("route.source", key.source)?,
    })
}

pub(super) fn show(route: &RouteSpec) -> pb::Route {
    pb::Route {
        vrf: route.vrf,
        prefix: route.prefix.to_string(),
        next_hop: route.next_hop,
        source: route.source.into(),
        preference: route.preference.into(),
        active: false,
    }
}
