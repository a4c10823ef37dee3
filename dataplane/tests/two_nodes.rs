//! Two dataplanes in memory, joined by a wire: what a workload sends on one comes out at the other.

mod lab;

use lab::{Encap, Lab};

#[test]
fn routed_vxlan_v4_underlay_carries_both_families() {
    let mut lab = Lab::new(Encap::Vxlan, false);
    lab.ping_all();
}

#[test]
fn routed_vxlan_v6_underlay_carries_both_families() {
    let mut lab = Lab::new(Encap::Vxlan, true);
    lab.ping_all();
}

#[test]
fn mpls_over_udp_v4_underlay_carries_both_families() {
    let mut lab = Lab::new(Encap::Mpls, false);
    lab.ping_all();
}

#[test]
fn mpls_over_udp_v6_underlay_carries_both_families() {
    let mut lab = Lab::new(Encap::Mpls, true);
    lab.ping_all();
}
