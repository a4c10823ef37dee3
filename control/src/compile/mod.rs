//! From what is wished to the objects of one dataplane: a pure function of the state and a node's name.
//!
//! What becomes of what:
//!
//! | intent | objects on a node that hosts the network |
//! |---|---|
//! | network, routed | VRF; VNI and MPLS label, both bound to the VRF whatever the encapsulation, so that it can change under traffic |
//! | network, bridged | VRF and bridge; VNI bound to the bridge; flood next hop to every node that hosts the network or is external |
//! | subnet | local route to the gateway; gateway address of ports (routed) or of the bridge (bridged); route of the rest to nobody, in every VRF that reaches all of it |
//! | endpoint here | port, next hop to it, host routes; routed: MPLS label bound to the next hop; bridged: MAC and neighbours |
//! | endpoint elsewhere | host routes; bridged: MAC and neighbours |
//! | another node hosting the network | one tunnel next hop per network, shared by its endpoints |
//!
//! | group, and prefixes and networks that policies name | identities, where policies of local endpoints name them |
//! | policies that apply to an endpoint here | one policy per set of them and network, which the port names |
//! | limits, further addresses | of the port; routes to the addresses |
//! | router | routes and identities of each network's endpoints in the VRFs of the others; next hops stay those of the endpoint's own network |
//! | way out | VRF of the external network, default route into it, source translation behind the node's addresses |
//! | floating address of an endpoint here | service and 1:1 source translation, or a service per forwarded port, in the external network's VRF |
//! | service | a service per address and port in the VRF of every network here that reaches it, a local route to the address; health checks of backends here |
//! | mirror of an endpoint here | mirror, which the port names; tunnel next hop to a collector that is no endpoint here |
//!
//! A node hosts a network when an attached endpoint of it lives there. Of networks that those reach through a router it only has next hops, in the terms of that network (its
//! VNI, its labels): the far end looks up in the VRF of the endpoint that is sent to, and answers come back in the VRF of the one that asked. Other networks are not programmed. Next hops of one endpoint elsewhere
//! exist in two cases. MPLS: the remote has bound a label per endpoint, which takes the packet straight to the port without a second route
//! lookup; a next hop costs little, so every remote endpoint gets one, unless its number is beyond the label space (917,504 endpoints), where
//! the shared per-network label serves. Bridged: a routed packet needs the endpoint's own MAC as inner destination.
//!
//! [`Compiler`] gives the same as [`compile`], but remembers what it made of each network and endpoint and makes only what changed.

mod endpoint;
mod frame;
mod health;
mod ids;
mod key;
mod label;
mod locals;
mod memo;
mod mtu;
mod network;
mod number;
mod objects;
mod outside;
mod plan;
mod policies;
mod reach;
mod services;
mod view;
mod vocabulary;

pub use health::{Condition, Health, Probe};
pub use ids::{is_ours, shared_tunnel};
pub use key::{ObjectKey, references};
pub use memo::{Compiler, compile};
pub use mtu::workload_mtu;
pub use plan::{Owner, Plan, Planned, Strength};
pub use services::{condition, probes};

#[cfg(test)]
pub(crate) mod tests;
