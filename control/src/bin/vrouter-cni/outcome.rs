//! Results, in every version that is spoken.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::version::Version;

/// A result, as version 1.1.0 has it. Of earlier ones, what that lacks is left out when it is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) ips: Vec<Ip>,
    pub(crate) routes: Vec<RouteEntry>,
    pub(crate) dns: Dns,
}

/// An interface. Empty and zero fields are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Interface {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mac: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) mtu: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sandbox: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) socket_path: String,
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub(crate) pci_id: String,
}

/// An address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ip {
    /// With the length of its prefix.
    pub(crate) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<String>,
    /// Place in the list of interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<usize>,
}

/// A route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RouteEntry {
    pub(crate) dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advmss: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<u32>,
}

/// Name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Dns {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) nameservers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) domain: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) search: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<String>,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Outcome {
    /// With what an earlier plugin of a chain made, in front.
    pub(crate) fn after(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let mut all = earlier.clone();
        let shift = all.interfaces.len();
        all.interfaces.extend(self.interfaces);
        all.ips.extend(self.ips.into_iter().map(|mut ip| {
            ip.interface = ip.interface.map(|place| place + shift);
            ip
        }));
        all.routes.extend(self.routes);
        if all.dns == Dns::default() {
            all.dns = self.dns;
        }
        all
    }

    /// As a version has it.
    pub(crate) fn to_json(&self, version: Version) -> Value {
        let mut answer = json!({"cniVersion": version.as_str()});
        let mut interfaces = self.interfaces.clone();
        let mut routes = self.routes.clone();
        if version < Version::V1_1_0 {
            for interface in &mut interfaces {
                (interface.mtu, interface.socket_path, interface.pci_id) = Default::default();
            }
            for route in &mut routes {
                let (dst, gw) = (std::mem::take(&mut route.dst), route.gw.take());
                *route = RouteEntry {
                    dst,
                    gw,
                    ..Default::default()
                };
            }
        }
        let mut ips: Vec<Value> = self.ips.iter().map(|ip| json!(ip)).collect();
        if version < Version::V1_0_0 {
            for (shown, ip) in ips.iter_mut().zip(&self.ips) {
                shown["version"] = if ip.address.contains(':') { "6" } else { "4" }.into();
            }
        }
        answer["interfaces"] = json!(interfaces);
        answer["ips"] = json!(ips);
        answer["routes"] = json!(routes);
        answer["dns"] = json!(self.dns);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Outcome {
        Outcome {
            interfaces: vec![
                Interface {
                    name: "vr0".into(),
                    mtu: 60000,
                    ..Default::default()
                },
                Interface {
                    name: "eth0".into(),
                    mac: "02:00:00:00:00:01".into(),
                    mtu: 60000,
                    sandbox: "/run/netns/a".into(),
                    ..Default::default()
                },
            ],
            ips: ["10.1.0.2/24", "fd00:1::2/64"]
                .map(|address| Ip {
                    address: address.into(),
                    gateway: None,
                    interface: Some(1),
                })
                .to_vec(),
            routes: vec![RouteEntry {
                dst: "0.0.0.0/0".into(),
                gw: Some("10.1.0.1".into()),
                mtu: Some(1400),
                ..Default::default()
            }],
            dns: Dns::default(),
        }
    }

    #[test]
    fn each_version_gets_what_it_knows() {
        for version in Version::ALL {
            let answer = sample().to_json(version);
            assert_eq!(answer["cniVersion"], version.as_str());
            let family = answer["ips"][1].get("version");
            assert_eq!(family.is_some(), version < Version::V1_0_0, "{version:?}");
            assert_eq!(answer["interfaces"][1].get("mtu").is_some(), version == Version::V1_1_0);
            assert_eq!(answer["routes"][0].get("mtu").is_some(), version == Version::V1_1_0);
            // What an engine keeps and hands back is read again.
            let read: Outcome = serde_json::from_value(answer).unwrap();
            assert_eq!(read.ips, sample().ips);
        }
    }

    #[test]
    fn what_an_earlier_plugin_made_stays_in_front() {
        let all = sample().after(Some(&sample()));
        assert_eq!(all.interfaces.len(), 4);
        let places: Vec<_> = all.ips.iter().map(|ip| ip.interface).collect();
        assert_eq!(places, [Some(1), Some(1), Some(3), Some(3)]);
    }
}
