//! Where copies of packets go: `endpoint:blue/ids`, `vxlan:192.0.2.9,vni=7`, `erspan:192.0.2.9,session=1`.

use std::str::FromStr;

use vrouter_proto::control::{self as api, mirror};

use super::option;

/// A collector as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Collector(pub(in crate::intent) mirror::Collector);

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!(
                "{text:?} is no collector: endpoint:NETWORK/NAME, vxlan:ADDRESS,vni=N or erspan:ADDRESS,session=N is wanted"
            )
        };
        let (kind, rest) = text.split_once(':').ok_or_else(refused)?;
        let (address, number) = match rest.split_once(',') {
            Some((address, number)) => (address.to_owned(), Some(option(number))),
            None => (rest.to_owned(), None),
        };
        let number = |name: &str| match number {
            Some((key, Some(value))) if key == name => value.parse::<u32>().map_err(|_| refused()),
            _ => Err(refused()),
        };
        Ok(Self(match kind {
            "endpoint" if !rest.contains(',') && rest.contains('/') => mirror::Collector::Endpoint(address),
            "vxlan" => mirror::Collector::Vxlan(api::VxlanCollector {
                vni: number("vni")?,
                address,
            }),
            "erspan" => mirror::Collector::Erspan(api::ErspanCollector {
                session: number("session")?,
                address,
            }),
            _ => return Err(refused()),
        }))
    }
}

/// As it is written.
pub(in crate::intent) fn text(collector: Option<&mirror::Collector>) -> String {
    match collector {
        Some(mirror::Collector::Endpoint(name)) => format!("endpoint:{name}"),
        Some(mirror::Collector::Vxlan(to)) => format!("vxlan:{},vni={}", to.address, to.vni),
        Some(mirror::Collector::Erspan(to)) => format!("erspan:{},session={}", to.address, to.session),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_written_as_they_are_read() {
        for given in [
            "endpoint:blue/ids",
            "vxlan:2001:db8::9,vni=7",
            "erspan:192.0.2.9,session=1",
        ] {
            assert_eq!(text(Some(&given.parse::<Collector>().unwrap().0)), given);
        }
        for given in [
            "",
            "endpoint:ids",
            "vxlan:192.0.2.9",
            "erspan:192.0.2.9,vni=1",
            "gre:192.0.2.9",
        ] {
            assert!(
                given.parse::<Collector>().unwrap_err().contains("erspan:ADDRESS"),
                "{given}"
            );
        }
    }
}
