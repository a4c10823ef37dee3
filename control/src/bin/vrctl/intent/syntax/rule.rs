//! Rules of policies: `allow-https: ingress allow tcp/443 from group:web,10.0.0.0/8 priority 100 log`.

use std::{fmt, str::FromStr};

use vrouter_proto::control::{self as api, policy_rule};

use super::traffic::{self, Traffic};

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Rule(pub(in crate::intent) api::PolicyRule);

/// The grammar, for `--help`.
macro_rules! rule_grammar {
    () => {
        "\
Rules:
  [NAME:] ingress|egress allow|deny|audit [TRAFFIC,...] [from|to PEER,...] [except CIDR,...] [priority N] [log]

  TRAFFIC  tcp, tcp/443, udp/8000-8999, icmp/8, icmpv6, 47, any (which is also what nothing stands for)
  PEER     group:NAME, network:NAME, 10.0.0.0/8, fd00::1, any
  The smallest priority is asked first, over all policies of an endpoint; of equal ones, deny before allow."
    };
}
pub(in crate::intent) use rule_grammar;

fn refused(what: impl fmt::Display) -> String {
    format!(
        "{what}; a rule is [NAME:] ingress|egress allow|deny|audit [TRAFFIC,...] [from|to PEER,...] [except CIDR,...] [priority N] [log]"
    )
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rule = api::PolicyRule::default();
        let mut words = text.split_whitespace().peekable();
        if let Some(name) = words.peek().and_then(|word| word.strip_suffix(':')) {
            name.clone_into(&mut rule.name);
            words.next();
        }
        rule.direction = match words.next() {
            Some("ingress") => policy_rule::Direction::Ingress.into(),
            Some("egress") => policy_rule::Direction::Egress.into(),
            word => return Err(refused(format!("{:?} is no direction", word.unwrap_or_default()))),
        };
        rule.action = match words.next() {
            Some("allow") => policy_rule::Action::Allow.into(),
            Some("deny") => policy_rule::Action::Deny.into(),
            Some("audit") => policy_rule::Action::Audit.into(),
            word => return Err(refused(format!("{:?} is no verdict", word.unwrap_or_default()))),
        };
        let mut except = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| refused(format!("{word} needs a value")));
            match word {
                "from" | "to" => rule.peers = peers(value()?)?,
                "except" => except = value()?.split(',').map(str::to_owned).collect(),
                "priority" => {
                    let number = value()?;
                    rule.priority = number
                        .parse()
                        .map_err(|_| refused(format!("priority {number:?} is no number")))?;
                }
                "log" => rule.log = true,
                _ if rule.traffic.is_empty() => {
                    for part in word.split(',') {
                        rule.traffic.push(part.parse::<Traffic>()?.0);
                    }
                }
                _ => return Err(refused(format!("{word:?} is not understood"))),
            }
        }
        if rule.traffic.iter().any(|t| *t == api::Traffic::default()) {
            rule.traffic.clear();
        }
        if !except.is_empty() {
            let cidrs = rule
                .peers
                .iter_mut()
                .filter(|p| matches!(p.peer, Some(api::peer::Peer::Cidr(_))));
            let mut any = false;
            for peer in cidrs {
                peer.except.clone_from(&except);
                any = true;
            }
            if !any {
                return Err(refused("except takes parts out of a CIDR, and there is none"));
            }
        }
        Ok(Self(rule))
    }
}

fn peers(text: &str) -> Result<Vec<api::Peer>, String> {
    if text == "any" {
        return Ok(Vec::new());
    }
    let peer = |text: &str| {
        let peer = match text.split_once(':') {
            Some(("group", name)) => api::peer::Peer::Group(name.to_owned()),
            Some(("network", name)) => api::peer::Peer::Network(name.to_owned()),
            _ if text.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') && text.contains(['.', ':']) => {
                api::peer::Peer::Cidr(text.to_owned())
            }
            _ => {
                return Err(format!(
                    "{text:?} is no peer: group:NAME, network:NAME, an address or a prefix is wanted"
                ));
            }
        };
        Ok(api::Peer {
            peer: Some(peer),
            except: Vec::new(),
        })
    };
    text.split(',').map(peer).collect()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.0;
        if !rule.name.is_empty() {
            write!(f, "{}: ", rule.name)?;
        }
        let (direction, way) = match rule.direction() {
            policy_rule::Direction::Ingress => ("ingress", "from"),
            policy_rule::Direction::Egress => ("egress", "to"),
            policy_rule::Direction::Unspecified => ("unspecified", "of"),
        };
        write!(f, "{direction} {}", verdict(rule.action()))?;
        if !rule.traffic.is_empty() {
            write!(f, " {}", traffic::list(&rule.traffic))?;
        }
        if !rule.peers.is_empty() {
            let peers: Vec<String> = rule.peers.iter().map(peer_text).collect();
            write!(f, " {way} {}", peers.join(","))?;
            if let Some(peer) = rule.peers.iter().find(|p| !p.except.is_empty()) {
                write!(f, " except {}", peer.except.join(","))?;
            }
        }
        if rule.priority != 0 {
            write!(f, " priority {}", rule.priority)?;
        }
        if rule.log {
            f.write_str(" log")?;
        }
        Ok(())
    }
}

fn verdict(action: policy_rule::Action) -> &'static str {
    match action {
        policy_rule::Action::Allow => "allow",
        policy_rule::Action::Deny => "deny",
        policy_rule::Action::Audit => "audit",
        policy_rule::Action::Unspecified => "unspecified",
    }
}

fn peer_text(peer: &api::Peer) -> String {
    match &peer.peer {
        Some(api::peer::Peer::Group(name)) => format!("group:{name}"),
        Some(api::peer::Peer::Network(name)) => format!("network:{name}"),
        Some(api::peer::Peer::Cidr(cidr)) => cidr.clone(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in [
            "allow-https: ingress allow tcp/443 from group:web,10.0.0.0/8 priority 100 log",
            "egress deny",
            "dns: egress allow udp/53,tcp/53 to fd00::53 priority 5",
            "ping: ingress audit icmp/8,icmpv6/128 from network:blue",
            "out: egress allow to 0.0.0.0/0 except 10.0.0.0/8,192.168.0.0/16",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        let any: Rule = "ingress allow any from any".parse().unwrap();
        assert_eq!(any.to_string(), "ingress allow");
    }

    #[test]
    fn what_is_no_rule_is_told_what_would_be() {
        for text in [
            "",
            "name:",
            "allow tcp",
            "ingress permit",
            "ingress allow tcp/443 from",
            "ingress allow tcp/443 udp/53",
            "ingress allow priority high",
            "ingress allow from web",
            "ingress allow from group:web except 10.0.0.0/8",
        ] {
            let error = text.parse::<Rule>().unwrap_err();
            assert!(
                error.contains("wanted") || error.contains("a rule is"),
                "{text}: {error}"
            );
        }
    }
}
