//! Kinds of traffic: `tcp`, `tcp/443`, `udp/8000-8999`, `icmp/8`, `icmpv6/1/4`, `47`, `any`.

use std::{fmt, str::FromStr};

use vrouter_proto::control as api;

/// One kind of traffic as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Traffic(pub(in crate::intent) api::Traffic);

const WANTED: &str =
    "PROTOCOL, PROTOCOL/PORTS or icmp/TYPE[/CODE] is wanted, like tcp/443, udp/8000-8999, icmp/8 or any";

impl FromStr for Traffic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("{text:?} is no kind of traffic: {WANTED}");
        let (protocol, rest) = match text.split_once('/') {
            Some((protocol, rest)) => (protocol, Some(rest)),
            None => (text, None),
        };
        if protocol.is_empty() || rest == Some("") {
            return Err(refused());
        }
        let mut traffic = api::Traffic {
            protocol: protocol.to_ascii_lowercase(),
            ..Default::default()
        };
        if traffic.protocol == "any" {
            if rest.is_some() {
                return Err(refused());
            }
            traffic.protocol.clear();
        } else if matches!(traffic.protocol.as_str(), "icmp" | "icmpv6") {
            let mut numbers = rest.into_iter().flat_map(|rest| rest.split('/'));
            let number = |text: &str| text.parse::<u8>().map(u32::from).map_err(|_| refused());
            traffic.icmp_type = numbers.next().map(number).transpose()?;
            traffic.icmp_code = numbers.next().map(number).transpose()?;
            if numbers.next().is_some() {
                return Err(refused());
            }
        } else if let Some(ports) = rest {
            // What ports are is the server's to say, as for protocols; here only their shape matters.
            ports.clone_into(&mut traffic.ports);
        }
        Ok(Self(traffic))
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = &self.0;
        if traffic.protocol.is_empty() {
            return f.write_str("any");
        }
        f.write_str(&traffic.protocol)?;
        if !traffic.ports.is_empty() {
            write!(f, "/{}", traffic.ports)?;
        }
        if let Some(kind) = traffic.icmp_type {
            write!(f, "/{kind}")?;
        }
        if let Some(code) = traffic.icmp_code {
            write!(f, "/{code}")?;
        }
        Ok(())
    }
}

/// Several kinds, separated by commas.
pub(in crate::intent) fn list(traffic: &[api::Traffic]) -> String {
    let texts: Vec<String> = traffic.iter().map(|t| Traffic(t.clone()).to_string()).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_written_as_it_is_read() {
        for text in [
            "tcp",
            "tcp/443",
            "udp/8000-8999",
            "icmp",
            "icmp/8",
            "icmpv6/1/4",
            "47",
            "any",
        ] {
            assert_eq!(text.parse::<Traffic>().unwrap().to_string(), text);
        }
        assert_eq!("TCP/80".parse::<Traffic>().unwrap().to_string(), "tcp/80");
        for text in ["", "/80", "tcp/", "icmp/x", "icmp/8/0/1", "icmp/256", "any/80"] {
            assert!(text.parse::<Traffic>().unwrap_err().contains("tcp/443"), "{text}");
        }
    }
}
