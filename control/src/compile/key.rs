//! What names one dataplane object.

use std::{fmt, net::IpAddr};

use vrouter_proto::dataplane::{self as pb, key, next_hop::Action, object};

/// Names one object of a dataplane, in one spelling. Of routes, those of source 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// VRF number.
    Vrf(u32),
    /// Next hop number.
    NextHop(u64),
    /// Bridge number.
    Bridge(u32),
    /// Port number.
    Port(u32),
    /// VRF, address and prefix length.
    Route(u32, IpAddr, u8),
    /// Bridge and MAC address in lower case.
    Mac(u32, String),
    /// Bridge and address.
    Neighbor(u32, IpAddr),
    /// VXLAN network identifier.
    Vni(u32),
    /// MPLS label.
    Label(u32),
    /// VRF, address and prefix length of an identity.
    Identity(u32, IpAddr, u8),
    /// Policy number.
    Policy(u32),
    /// Source translation number.
    SourceNat(u32),
    /// Service number.
    Service(u32),
    /// Mirror number.
    Mirror(u32),
    /// Health check number.
    HealthCheck(u32),
}

impl ObjectKey {
    /// The key of an object. `None` when it has none: it is empty, or its address cannot be read.
    #[must_use]
    pub fn of(object: &pb::Object) -> Option<Self> {
        Some(match object.object.as_ref()? {
            object::Object::Port(o) => Self::Port(o.id),
            object::Object::Vrf(o) => Self::Vrf(o.id),
            object::Object::Bridge(o) => Self::Bridge(o.id),
            object::Object::NextHop(o) => Self::NextHop(o.id),
            object::Object::Route(o) => {
                let (address, length) = o.prefix.split_once('/')?;
                Self::Route(o.vrf, address.parse().ok()?, length.parse().ok()?)
            }
            object::Object::Mac(o) => Self::Mac(o.bridge, o.mac.to_ascii_lowercase()),
            object::Object::Neighbor(o) => Self::Neighbor(o.bridge, o.address.parse().ok()?),
            object::Object::Vni(o) => Self::Vni(o.vni),
            object::Object::Label(o) => Self::Label(o.label),
            object::Object::Identity(o) => {
                let (address, length) = o.prefix.split_once('/')?;
                Self::Identity(o.vrf, address.parse().ok()?, length.parse().ok()?)
            }
            object::Object::Policy(o) => Self::Policy(o.id),
            object::Object::SourceNat(o) => Self::SourceNat(o.id),
            object::Object::Service(o) => Self::Service(o.id),
            object::Object::Mirror(o) => Self::Mirror(o.id),
            object::Object::HealthCheck(o) => Self::HealthCheck(o.id),
        })
    }

    /// As the dataplane's API says it.
    #[must_use]
    pub fn to_proto(&self) -> pb::Key {
        let key = match self {
            Self::Port(id) => key::Key::Port(*id),
            Self::Vrf(id) => key::Key::Vrf(*id),
            Self::Bridge(id) => key::Key::Bridge(*id),
            Self::NextHop(id) => key::Key::NextHop(*id),
            Self::Route(vrf, address, length) => key::Key::Route(pb::RouteKey {
                vrf: *vrf,
                prefix: format!("{address}/{length}"),
                source: 0,
            }),
            Self::Mac(bridge, mac) => key::Key::Mac(pb::MacKey {
                bridge: *bridge,
                mac: mac.clone(),
            }),
            Self::Neighbor(bridge, address) => key::Key::Neighbor(pb::NeighborKey {
                bridge: *bridge,
                address: address.to_string(),
            }),
            Self::Vni(vni) => key::Key::Vni(*vni),
            Self::Label(label) => key::Key::Label(*label),
            Self::Identity(vrf, address, length) => key::Key::Identity(pb::IdentityKey {
                vrf: *vrf,
                prefix: format!("{address}/{length}"),
            }),
            Self::Policy(id) => key::Key::Policy(*id),
            Self::SourceNat(id) => key::Key::SourceNat(*id),
            Self::Service(id) => key::Key::Service(*id),
            Self::Mirror(id) => key::Key::Mirror(*id),
            Self::HealthCheck(id) => key::Key::HealthCheck(*id),
        };
        pb::Key { key: Some(key) }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vrf(id) => write!(f, "VRF {id}"),
            Self::NextHop(id) => write!(f, "next hop {id}"),
            Self::Bridge(id) => write!(f, "bridge {id}"),
            Self::Port(id) => write!(f, "port {id}"),
            Self::Route(vrf, address, length) => write!(f, "route {address}/{length} of VRF {vrf}"),
            Self::Mac(bridge, mac) => write!(f, "MAC {mac} of bridge {bridge}"),
            Self::Neighbor(bridge, address) => write!(f, "neighbour {address} of bridge {bridge}"),
            Self::Vni(vni) => write!(f, "VNI {vni}"),
            Self::Label(label) => write!(f, "label {label}"),
            Self::Identity(vrf, address, length) => write!(f, "identity {address}/{length} of VRF {vrf}"),
            Self::Policy(id) => write!(f, "policy {id}"),
            Self::SourceNat(id) => write!(f, "source NAT {id}"),
            Self::Service(id) => write!(f, "service {id}"),
            Self::Mirror(id) => write!(f, "mirror {id}"),
            Self::HealthCheck(id) => write!(f, "health check {id}"),
        }
    }
}

/// The keys of all objects that one refers to: they have to be there before it, and to stay as long as it does.
#[must_use]
pub fn references(object: &pb::Object) -> Vec<ObjectKey> {
    fn named(id: u32, key: fn(u32) -> ObjectKey) -> Option<ObjectKey> {
        (id != 0).then(|| key(id))
    }
    match &object.object {
        None | Some(object::Object::Vrf(_) | object::Object::Policy(_)) => Vec::new(),
        Some(object::Object::Identity(o)) => vec![ObjectKey::Vrf(o.vrf)],
        Some(object::Object::SourceNat(o)) => vec![ObjectKey::Vrf(o.inside), ObjectKey::Vrf(o.outside)],
        Some(object::Object::Service(o)) => {
            let backends = o.backends.iter().filter_map(|b| named(b.vrf, ObjectKey::Vrf));
            named(o.vrf, ObjectKey::Vrf).into_iter().chain(backends).collect()
        }
        Some(object::Object::Mirror(o)) => vec![ObjectKey::NextHop(o.next_hop)],
        Some(object::Object::HealthCheck(o)) => vec![ObjectKey::Vrf(o.vrf)],
        Some(object::Object::Bridge(o)) => {
            let flood = (o.flood != 0).then_some(ObjectKey::NextHop(o.flood));
            named(o.vrf, ObjectKey::Vrf).into_iter().chain(flood).collect()
        }
        Some(object::Object::Port(o)) => named(o.vrf, ObjectKey::Vrf)
            .into_iter()
            .chain(named(o.bridge, ObjectKey::Bridge))
            .chain(named(o.policy, ObjectKey::Policy))
            .chain(o.mirrors.iter().map(|id| ObjectKey::Mirror(*id)))
            .collect(),
        Some(object::Object::NextHop(o)) => match &o.action {
            Some(Action::Port(p)) => vec![ObjectKey::Port(p.port)],
            Some(Action::Flood(f)) => f.next_hops.iter().map(|id| ObjectKey::NextHop(*id)).collect(),
            Some(Action::Group(g)) => g.members.iter().map(|m| ObjectKey::NextHop(m.next_hop)).collect(),
            Some(Action::Vrf(v)) => vec![ObjectKey::Vrf(v.vrf)],
            Some(
                Action::Local(_) | Action::Drop(_) | Action::Unreachable(_) | Action::Tunnel(_) | Action::Underlay(_),
            )
            | None => Vec::new(),
        },
        Some(object::Object::Route(o)) => vec![ObjectKey::Vrf(o.vrf), ObjectKey::NextHop(o.next_hop)],
        Some(object::Object::Mac(o)) => vec![ObjectKey::Bridge(o.bridge), ObjectKey::NextHop(o.next_hop)],
        Some(object::Object::Neighbor(o)) => named(o.bridge, ObjectKey::Bridge).into_iter().collect(),
        Some(object::Object::Vni(o)) => match o.target {
            Some(pb::vni::Target::Bridge(id)) => vec![ObjectKey::Bridge(id)],
            Some(pb::vni::Target::Vrf(id)) => vec![ObjectKey::Vrf(id)],
            None => Vec::new(),
        },
        Some(object::Object::Label(o)) => match o.target {
            Some(pb::label::Target::Vrf(id)) => vec![ObjectKey::Vrf(id)],
            Some(pb::label::Target::NextHop(id)) => vec![ObjectKey::NextHop(id)],
            None => Vec::new(),
        },
    }
}
