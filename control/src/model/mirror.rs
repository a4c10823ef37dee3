//! Mirrors: copies of packets for an observer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    cidr::parse_address,
    error::{InField, Invalid},
    name::Name,
    object::{Object, Spec, Wish, fields},
    prefix::Prefix,
    reference::{EndpointRef, Target, each, list, optional},
    traffic::Traffic,
};

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Collector {
    /// To an endpoint.
    Endpoint(EndpointRef),
    /// In VXLAN.
    Vxlan {
        /// Address of the collector on the underlay.
        address: IpAddr,
        /// VXLAN network identifier, 1..=16777215.
        vni: u32,
    },
    /// In ERSPAN type II.
    Erspan {
        /// Address of the collector on the underlay.
        address: IpAddr,
        /// Session, 0..=1023.
        session: u16,
    },
}

/// What a client chooses of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorSpec {
    /// Members of this group...
    pub group: Option<Name>,
    /// ... and these.
    pub endpoints: Vec<EndpointRef>,
    /// What they send. Neither this nor `ingress`: both.
    pub egress: bool,
    /// What they are sent.
    pub ingress: bool,
    /// Only these. Empty: all.
    pub traffic: Vec<Traffic>,
    /// Only packets with an address in one of these. Empty: all.
    pub prefixes: Vec<Prefix>,
    /// Bytes of each packet, 64..=65535; 0: all.
    pub snap_length: u32,
    /// Where copies go. There always is one once it is stored.
    pub collector: Option<Collector>,
}

/// A mirror, as stored.
pub type Mirror = Object<MirrorSpec>;

impl MirrorSpec {
    /// Most endpoints that are named one by one, and most prefixes.
    pub const MAX: usize = 4096;
}

impl Collector {
    fn from_proto(collector: &pb::mirror::Collector) -> Result<Self, Invalid> {
        match collector {
            pb::mirror::Collector::Endpoint(text) => {
                EndpointRef::new(text).in_field("mirror.endpoint").map(Self::Endpoint)
            }
            pb::mirror::Collector::Vxlan(vxlan) => {
                let address = parse_address(&vxlan.address).in_field("mirror.vxlan.address")?;
                if !(1..=0xff_ffff).contains(&vxlan.vni) {
                    let message = format!("{} is out of range; 1 to 16777215 would be right", vxlan.vni);
                    return Err(Invalid::new("mirror.vxlan.vni", message));
                }
                Ok(Self::Vxlan {
                    address,
                    vni: vxlan.vni,
                })
            }
            pb::mirror::Collector::Erspan(erspan) => {
                let address = parse_address(&erspan.address).in_field("mirror.erspan.address")?;
                let session = u16::try_from(erspan.session)
                    .ok()
                    .filter(|s| *s < 1024)
                    .ok_or_else(|| {
                        let message = format!("{} is out of range; 0 to 1023 would be right", erspan.session);
                        Invalid::new("mirror.erspan.session", message)
                    })?;
                Ok(Self::Erspan { address, session })
            }
        }
    }
}

impl Wish<MirrorSpec> {
    /// Checks a request's mirror.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(mirror: Option<pb::Mirror>) -> Result<Self, Invalid> {
        let mirror = mirror.ok_or_else(|| Invalid::new("mirror", "is missing"))?;
        for (field, count) in [
            ("mirror.endpoints", mirror.endpoints.len()),
            ("mirror.prefixes", mirror.prefixes.len()),
        ] {
            if count > MirrorSpec::MAX {
                return Err(Invalid::new(
                    field,
                    format!("{count} of them; at most {}", MirrorSpec::MAX),
                ));
            }
        }
        if mirror.snap_length != 0 && !(64..=65_535).contains(&mirror.snap_length) {
            let message = format!(
                "{}; 64 to 65535 bytes, or 0 for all, would be right",
                mirror.snap_length
            );
            return Err(Invalid::new("mirror.snap_length", message));
        }
        let spec = MirrorSpec {
            group: optional(&mirror.group, Name::new).in_field("mirror.group")?,
            endpoints: list("mirror.endpoints", &mirror.endpoints, EndpointRef::new)?,
            egress: mirror.egress,
            ingress: mirror.ingress,
            traffic: Traffic::list("mirror.traffic", &mirror.traffic)?,
            prefixes: list("mirror.prefixes", &mirror.prefixes, Prefix::new)?,
            snap_length: mirror.snap_length,
            collector: mirror.collector.as_ref().map(Collector::from_proto).transpose()?,
        };
        Self::new(&mirror.name, mirror.revision, spec)
    }
}

impl Spec for MirrorSpec {
    type Given = ();
    const KIND: &'static str = "mirror";
    fields! {
        group: "group",
        endpoints: "endpoints",
        egress: "egress",
        ingress: "ingress",
        traffic: "traffic",
        prefixes: "prefixes",
        snap_length: "snap_length",
        collector: "endpoint" "vxlan" "erspan",
    }

    fn check(&self) -> Result<(), Invalid> {
        match &self.collector {
            None => Err(Invalid::new(
                "mirror.collector",
                "is missing; where do copies go? An endpoint, vxlan or erspan would be right",
            )),
            Some(Collector::Endpoint(collector)) if self.endpoints.contains(collector) => Err(Invalid::new(
                "mirror.endpoint",
                format!("{collector} would be sent copies of its own packets for ever"),
            )),
            Some(_) => Ok(()),
        }
    }

    fn references(&self) -> Vec<(String, Target)> {
        let group = |name: &Name| ("group".to_owned(), Target::Group(name.clone()));
        let mut all: Vec<_> = self.group.iter().map(group).collect();
        all.extend(each("endpoints", &self.endpoints, Target::Endpoint));
        if let Some(Collector::Endpoint(name)) = &self.collector {
            all.push(("endpoint".to_owned(), Target::Endpoint(name.clone())));
        }
        all
    }
}
