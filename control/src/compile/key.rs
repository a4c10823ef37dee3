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
        None | Some(object::Object::Vrf(_)) => Vec::new(),
        Some(object::Object::Bridge(o)) => {
            let flood = (o.flood != 0).then_some(ObjectKey::NextHop(o.flood));
            named(o.vrf, ObjectKey::Vrf).into_iter().chain(flood).collect()
        }
        Some(object::Object::Port(o)) => named(o.vrf, ObjectKey::Vrf)
            .into_iter()
            .chain(named(o.bridge, ObjectKey::Bridge))
            .collect(),
        Some(object::Object::NextHop(o)) => match &o.action {
            Some(Action::Port(p)) => vec![ObjectKey::Port(p.port)],
            Some(Action::Flood(f)) => f.next_hops.iter().map(|id| ObjectKey::NextHop(*id)).collect(),
            Some(Action::Group(g)) => g.members.iter().map(|m| ObjectKey::NextHop(m.next_hop)).collect(),
            Some(Action::Local(_) | Action::Drop(_) | Action::Tunnel(_)) | None => Vec::new(),
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
