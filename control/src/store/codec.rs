//! Records as bytes: a text key, and a value that begins with the version of its format.
//!
//! Version 1 is JSON: a field added later has a default, so that old values stay readable; a change that defaults cannot bridge gets a
//! new version byte and a reader for both.

use std::net::IpAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    model::Name,
    state::{Cursor, Key, Record},
};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct CursorValue {
    next: String,
}

/// The key as text: kind and names between slashes, which no name has.
pub(super) fn key(key: &Key) -> String {
    match key {
        Key::Network(name) => format!("network/{name}"),
        Key::Subnet((network, name)) => format!("subnet/{network}/{name}"),
        Key::Node(name) => format!("node/{name}"),
        Key::Endpoint((network, name)) => format!("endpoint/{network}/{name}"),
        Key::Group(name) => format!("group/{name}"),
        Key::Policy(name) => format!("policy/{name}"),
        Key::Router(name) => format!("router/{name}"),
        Key::FloatingIp(name) => format!("floating-ip/{name}"),
        Key::Service((network, name)) => format!("service/{network}/{name}"),
        Key::QosProfile(name) => format!("qos-profile/{name}"),
        Key::Mirror(name) => format!("mirror/{name}"),
        Key::Address(network, address) => format!("address/{network}/{address}"),
        Key::Observed(name) => format!("observed/{name}"),
        Key::Cursor(Cursor::Network) => "cursor/network".to_owned(),
        Key::Cursor(Cursor::Endpoint) => "cursor/endpoint".to_owned(),
        Key::Cursor(Cursor::Node) => "cursor/node".to_owned(),
        Key::Cursor(Cursor::Vni) => "cursor/vni".to_owned(),
        Key::Cursor(Cursor::Group) => "cursor/group".to_owned(),
        Key::Cursor(Cursor::Policy) => "cursor/policy".to_owned(),
        Key::Cursor(Cursor::Router) => "cursor/router".to_owned(),
        Key::Cursor(Cursor::FloatingIp) => "cursor/floating-ip".to_owned(),
        Key::Cursor(Cursor::Service) => "cursor/service".to_owned(),
        Key::Cursor(Cursor::QosProfile) => "cursor/qos-profile".to_owned(),
        Key::Cursor(Cursor::Mirror) => "cursor/mirror".to_owned(),
        Key::Cursor(Cursor::Addresses((network, name))) => format!("cursor/addresses/{network}/{name}"),
    }
}

fn parse_key(text: &str) -> Option<Key> {
    let name = |t: &str| Name::new(t).ok();
    let parts: Vec<&str> = text.split('/').collect();
    Some(match parts.as_slice() {
        ["network", n] => Key::Network(name(n)?),
        ["subnet", n, s] => Key::Subnet((name(n)?, name(s)?)),
        ["node", n] => Key::Node(name(n)?),
        ["endpoint", n, e] => Key::Endpoint((name(n)?, name(e)?)),
        ["group", n] => Key::Group(name(n)?),
        ["policy", n] => Key::Policy(name(n)?),
        ["router", n] => Key::Router(name(n)?),
        ["floating-ip", n] => Key::FloatingIp(name(n)?),
        ["service", n, s] => Key::Service((name(n)?, name(s)?)),
        ["qos-profile", n] => Key::QosProfile(name(n)?),
        ["mirror", n] => Key::Mirror(name(n)?),
        ["address", n, a] => Key::Address(name(n)?, a.parse::<IpAddr>().ok()?),
        ["observed", n] => Key::Observed(name(n)?),
        ["cursor", "network"] => Key::Cursor(Cursor::Network),
        ["cursor", "endpoint"] => Key::Cursor(Cursor::Endpoint),
        ["cursor", "node"] => Key::Cursor(Cursor::Node),
        ["cursor", "vni"] => Key::Cursor(Cursor::Vni),
        ["cursor", "group"] => Key::Cursor(Cursor::Group),
        ["cursor", "policy"] => Key::Cursor(Cursor::Policy),
        ["cursor", "router"] => Key::Cursor(Cursor::Router),
        ["cursor", "floating-ip"] => Key::Cursor(Cursor::FloatingIp),
        ["cursor", "service"] => Key::Cursor(Cursor::Service),
        ["cursor", "qos-profile"] => Key::Cursor(Cursor::QosProfile),
        ["cursor", "mirror"] => Key::Cursor(Cursor::Mirror),
        ["cursor", "addresses", n, s] => Key::Cursor(Cursor::Addresses((name(n)?, name(s)?))),
        _ => return None,
    })
}

/// The value of a record.
pub(super) fn encode(record: &Record) -> Result<Vec<u8>, String> {
    fn json<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, value)?;
        Ok(bytes)
    }
    match record {
        Record::Network(o) => json(o.as_ref()),
        Record::Subnet(o) => json(o.as_ref()),
        Record::Node(o) => json(o.as_ref()),
        Record::Endpoint(o) => json(o.as_ref()),
        Record::Group(o) => json(o.as_ref()),
        Record::Policy(o) => json(o.as_ref()),
        Record::Router(o) => json(o.as_ref()),
        Record::FloatingIp(o) => json(o.as_ref()),
        Record::Service(o) => json(o.as_ref()),
        Record::QosProfile(o) => json(o.as_ref()),
        Record::Mirror(o) => json(o.as_ref()),
        Record::Address(o) => json(o.as_ref()),
        Record::Observed(o) => json(o.as_ref()),
        Record::Cursor(_, next) => json(&CursorValue { next: next.to_string() }),
    }
    .map_err(|e| e.to_string())
}

/// The record of a key and value.
pub(super) fn decode(text: &str, value: &[u8]) -> Result<Record, String> {
    fn json<T: DeserializeOwned>(text: &str, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("{text}: {e}"))
    }
    let key = parse_key(text).ok_or_else(|| format!("{text:?} is no key that this program knows"))?;
    let body = match value {
        [VERSION, body @ ..] => body,
        [version, ..] => {
            return Err(format!(
                "{text}: value of format {version}, this program knows up to {VERSION}"
            ));
        }
        [] => return Err(format!("{text}: empty value")),
    };
    let record = match &key {
        Key::Network(_) => Record::Network(json(text, body)?),
        Key::Subnet(_) => Record::Subnet(json(text, body)?),
        Key::Node(_) => Record::Node(json(text, body)?),
        Key::Endpoint(_) => Record::Endpoint(json(text, body)?),
        Key::Group(_) => Record::Group(json(text, body)?),
        Key::Policy(_) => Record::Policy(json(text, body)?),
        Key::Router(_) => Record::Router(json(text, body)?),
        Key::FloatingIp(_) => Record::FloatingIp(json(text, body)?),
        Key::Service(_) => Record::Service(json(text, body)?),
        Key::QosProfile(_) => Record::QosProfile(json(text, body)?),
        Key::Mirror(_) => Record::Mirror(json(text, body)?),
        Key::Address(..) => Record::Address(json(text, body)?),
        Key::Observed(_) => Record::Observed(json(text, body)?),
        Key::Cursor(cursor) => {
            let value: CursorValue = json(text, body)?;
            let next = value.next.parse().map_err(|e| format!("{text}: {e}"))?;
            Record::Cursor(cursor.clone(), next)
        }
    };
    if record.key() == key {
        Ok(record)
    } else {
        Err(format!("{text}: holds another object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::DefaultVerdict, state::Holder};

    fn old(key: &str, json: &str) -> Record {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(json.as_bytes());
        decode(key, &bytes).unwrap()
    }

    /// Values as they were written before addresses had other holders than endpoints, and before these fields were there.
    #[test]
    fn values_of_earlier_programs_are_read() {
        let json = r#"{"network":"blue","address":"10.1.0.2","endpoint":"web"}"#;
        let record = old("address/blue/10.1.0.2", json);
        let Record::Address(allocation) = &record else {
            panic!("an address")
        };
        assert_eq!(allocation.holder, Holder::Endpoint(Name::new("web").unwrap()));
        assert_eq!(&encode(&record).unwrap()[1..], json.as_bytes(), "and written the same");

        let json = r#"{"name":"blue","uid":"u","revision":1,"number":1,"bridged":false,"encapsulation":"vxlan","vni":4096,"mtu":null,"labels":{}}"#;
        let Record::Network(network) = old("network/blue", json) else {
            panic!("a network")
        };
        assert!(!network.external && network.default_ingress == DefaultVerdict::Allow);

        let json = r#"{"network":"blue","name":"web","uid":"u","revision":2,"number":1,"node":null,"interface":null,"mac":"02:76:00:00:00:01","addresses":["10.1.0.2"],"wished_addresses":[],"labels":{},"client_id":null}"#;
        let Record::Endpoint(endpoint) = old("endpoint/blue/web", json) else {
            panic!("an endpoint")
        };
        assert!(endpoint.allowed_addresses.is_empty() && endpoint.qos.is_none() && !endpoint.allow_router);

        let json =
            r#"{"name":"a","uid":"u","revision":3,"number":1,"vteps":["192.0.2.1"],"labels":{},"external":false}"#;
        let Record::Node(node) = old("node/a", json) else {
            panic!("a node")
        };
        assert!(node.nat_addresses.is_empty() && !node.implicit);
    }

    #[test]
    fn every_holder_is_read_as_it_was_written() {
        let name = Name::new("x").unwrap();
        for holder in [
            Holder::Endpoint(name.clone()),
            Holder::Service(name.clone()),
            Holder::FloatingIp(name.clone()),
        ] {
            let allocation = crate::state::Allocation {
                network: name.clone(),
                address: "fd00::1".parse().unwrap(),
                holder,
            };
            let record = Record::Address(allocation.into());
            let bytes = encode(&record).unwrap();
            assert_eq!(decode(&key(&record.key()), &bytes).unwrap(), record);
        }
    }
}
