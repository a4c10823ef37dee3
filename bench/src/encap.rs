//! Tunnels as people write them: `vxlan,vni=5000,src=192.0.2.1,dst=192.0.2.2,to-mac=02:00:00:00:00:02`.
//!
//! Fields are named and parted by commas, since IPv6 and Ethernet addresses are full of colons.

use std::{net::IpAddr, str::FromStr};

use vrouter_dataplane::wire::{
    Label, Mac, Vni,
    outer::{Encap, Ends, OuterSpec},
};

/// What kind of tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// VXLAN (RFC 7348) with an Ethernet frame inside.
    Vxlan(Vni),
    /// MPLS over UDP (RFC 7510), one label, with an IP packet inside.
    Mpls(Label),
}

/// A tunnel to put around each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncapSpec {
    /// Kind and number.
    pub tunnel: Tunnel,
    /// Outer addresses.
    pub ends: Ends,
    /// Outer destination.
    pub to_mac: Mac,
    /// Outer source; none: that of the interface.
    pub from_mac: Option<Mac>,
}

impl EncapSpec {
    /// The outer header to build; `own` is the interface's address.
    pub fn outer(&self, own: Mac) -> OuterSpec {
        OuterSpec {
            dst_mac: self.to_mac,
            src_mac: self.from_mac.unwrap_or(own),
            vlan: None,
            ends: self.ends,
            ttl: 64,
            dont_fragment: true,
            udp_checksum: false,
            encap: match self.tunnel {
                Tunnel::Vxlan(vni) => Encap::Vxlan { vni },
                Tunnel::Mpls(label) => Encap::Mpls { label },
            },
        }
    }
}

/// Why a text is no tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncapError {
    /// The first word.
    #[error(
        "unknown tunnel {0:?}: write vxlan,vni=VNI,src=ADDR,dst=ADDR,to-mac=MAC[,from-mac=MAC] or mpls,label=LABEL,... likewise"
    )]
    Kind(String),
    /// A field that there is not, or that this tunnel has not.
    #[error("{kind} has no field {field:?}: there are {number}, src, dst, to-mac and from-mac, each as NAME=VALUE")]
    Field {
        /// Tunnel.
        kind: &'static str,
        /// What was written.
        field: String,
        /// Name of this tunnel's number.
        number: &'static str,
    },
    /// A field is there twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A field is not there.
    #[error("{0}= is missing")]
    Missing(&'static str),
    /// A value cannot be read.
    #[error("{field}={value}: {reason}")]
    Value {
        /// Name.
        field: &'static str,
        /// What was written.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The ends of a tunnel are of one family.
    #[error("src and dst must both be IPv4 or both IPv6")]
    Families,
}

/// Reads a value into its place.
fn set<T: FromStr<Err: ToString>>(into: &mut Option<T>, field: &'static str, value: &str) -> Result<(), EncapError> {
    if into.is_some() {
        return Err(EncapError::Twice(field));
    }
    let value = value.parse().map_err(|reason: T::Err| EncapError::Value {
        field,
        value: value.to_owned(),
        reason: reason.to_string(),
    })?;
    *into = Some(value);
    Ok(())
}

impl FromStr for EncapSpec {
    type Err = EncapError;

    fn from_str(text: &str) -> Result<Self, EncapError> {
        let mut words = text.split(',');
        let (kind, number) = match words.next() {
            Some("vxlan") => ("vxlan", "vni"),
            Some("mpls") => ("mpls", "label"),
            other => return Err(EncapError::Kind(other.unwrap_or_default().to_owned())),
        };
        let (mut vni, mut label) = (None::<Vni>, None::<Label>);
        let (mut src, mut dst) = (None::<IpAddr>, None::<IpAddr>);
        let (mut to_mac, mut from_mac) = (None::<Mac>, None::<Mac>);
        for word in words {
            match word.split_once('=') {
                Some(("vni", value)) if kind == "vxlan" => set(&mut vni, "vni", value)?,
                Some(("label", value)) if kind == "mpls" => set(&mut label, "label", value)?,
                Some(("src", value)) => set(&mut src, "src", value)?,
                Some(("dst", value)) => set(&mut dst, "dst", value)?,
                Some(("to-mac", value)) => set(&mut to_mac, "to-mac", value)?,
                Some(("from-mac", value)) => set(&mut from_mac, "from-mac", value)?,
                _ => {
                    return Err(EncapError::Field {
                        kind,
                        field: word.to_owned(),
                        number,
                    });
                }
            }
        }
        let tunnel = match kind {
            "vxlan" => Tunnel::Vxlan(vni.ok_or(EncapError::Missing("vni"))?),
            _ => Tunnel::Mpls(label.ok_or(EncapError::Missing("label"))?),
        };
        let (src, dst) = (
            src.ok_or(EncapError::Missing("src"))?,
            dst.ok_or(EncapError::Missing("dst"))?,
        );
        Ok(Self {
            tunnel,
            ends: ends(src, dst).ok_or(EncapError::Families)?,
            to_mac: to_mac.ok_or(EncapError::Missing("to-mac"))?,
            from_mac,
        })
    }
}

/// Both addresses as ends of one family; none if they differ in it.
pub fn ends(src: IpAddr, dst: IpAddr) -> Option<Ends> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Some(Ends::V4 { src, dst }),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Some(Ends::V6 { src, dst }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn reads_both_tunnels_over_both_families() {
        let spec: EncapSpec = "vxlan,vni=5000,src=192.0.2.1,dst=192.0.2.2,to-mac=02:00:00:00:00:09"
            .parse()
            .unwrap();
        assert_eq!(spec.tunnel, Tunnel::Vxlan(Vni::new(5000).unwrap()));
        assert_eq!((spec.to_mac, spec.from_mac), (MAC, None));
        let own = Mac([2, 0, 0, 0, 0, 1]);
        assert_eq!(spec.outer(own).src_mac, own);

        let spec: EncapSpec =
            "mpls,label=100,src=2001:db8::1,dst=2001:db8::2,from-mac=02:00:00:00:00:09,to-mac=02:00:00:00:00:01"
                .parse()
                .unwrap();
        assert_eq!(spec.tunnel, Tunnel::Mpls(Label::new(100).unwrap()));
        assert_eq!(
            spec.ends,
            Ends::V6 {
                src: "2001:db8::1".parse().unwrap(),
                dst: "2001:db8::2".parse().unwrap()
            }
        );
        assert_eq!(spec.outer(own).src_mac, MAC);
    }

    #[test]
    fn says_what_is_wrong() {
        let complaint = |text: &str| text.parse::<EncapSpec>().unwrap_err().to_string();
        assert!(complaint("gre,key=1").starts_with("unknown tunnel \"gre\""));
        assert!(complaint("vxlan,label=1").starts_with("vxlan has no field \"label=1\": there are vni,"));
        assert!(complaint("mpls,label").starts_with("mpls has no field \"label\""));
        assert_eq!(complaint("vxlan,vni=1,vni=2"), "vni is given twice");
        assert_eq!(complaint("vxlan,vni=1,src=10.0.0.1"), "dst= is missing");
        assert_eq!(complaint("mpls,src=10.0.0.1"), "label= is missing");
        assert_eq!(
            complaint("vxlan,vni=1,src=10.0.0.1,dst=2001:db8::1,to-mac=02:00:00:00:00:09"),
            "src and dst must both be IPv4 or both IPv6"
        );
        assert!(complaint("vxlan,vni=0").contains("vni=0: VNI 0 is out of range"));
        assert!(complaint("vxlan,to-mac=2").contains("to-mac=2: not an Ethernet address"));
    }
}
