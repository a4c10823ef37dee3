//! The daemons: whether they answer, are of one version, agree, and have all ports up.

use crate::doctor::{
    facts::{Daemon, Facts},
    finding::{Finding, about},
};

/// All that can be said about them.
pub(super) fn daemons(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        answers("dataplane", "vrouterd", &facts.dataplane),
        answers("control", "vrouter-control", &facts.control),
    ];
    let version = |daemon: &Daemon| daemon.answer.clone().and_then(Result::ok);
    for (name, daemon) in [("vrouterd", &facts.dataplane), ("vrouter-control", &facts.control)] {
        if let Some(version) = version(daemon) {
            let finding = about("version", name);
            findings.push(if version == facts.version {
                finding.ok(version)
            } else {
                finding.warning(
                    format!("{version}, and vrctl is {}", facts.version),
                    "what one says the other may not understand",
                    "upgrade all of them to one version, the dataplanes first",
                )
            });
        }
    }
    for driven in &facts.driven {
        let finding = about("sync", driven.node.as_str());
        findings.push(match (driven.connected, driven.error.as_str()) {
            (true, "") => finding.ok("connected"),
            (true, error) => finding.problem(
                error,
                "something that is wished is not programmed",
                "`vrctl status`, and the logs of both daemons",
            ),
            (false, error) => finding.problem(
                format!("not connected: {error}"),
                "what is wished is not programmed there until it is back; its packets flow on",
                "is vrouterd running there, and is the address that vrouter-control was given right?",
            ),
        });
    }
    for port in facts.node.iter().flat_map(|node| &node.ports) {
        let finding = about("port", port.name.as_str());
        if !port.up {
            findings.push(finding.problem(
                if port.attachment.is_empty() {
                    "down"
                } else {
                    port.attachment.as_str()
                },
                "its packets are not moved",
                "is the interface there, up, and in the daemon's network namespace?",
            ));
        } else if port.generic {
            findings.push(finding.warning(
                port.attachment.as_str(),
                "packets take the way through the kernel first: slower by a half or more",
                "`vrctl port list` says why native mode was not chosen",
            ));
        }
    }
    findings
}

fn answers(role: &'static str, program: &'static str, daemon: &Daemon) -> Finding {
    let finding = about(role, daemon.address.as_str());
    match (&daemon.answer, daemon.socket) {
        (None, _) => finding.not_applicable("not asked"),
        (Some(Ok(version)), _) => finding.ok(format!("{program} {version} answers")),
        (Some(Err(error)), Some(true)) => finding.problem(
            format!("the socket is there, and nobody answers: {error}"),
            "the daemon has ended, or hangs, and left its socket",
            format!("`systemctl status {program}`; a new start replaces the socket"),
        ),
        (Some(Err(error)), _) => finding.warning(
            format!("it does not answer: {error}"),
            "what it could say is missing here",
            format!("start it (`systemctl start {program}`), or say where it listens with --{role}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        facts::{Driven, Node, Port},
        finding::Status,
    };

    #[test]
    fn silent_daemons_stale_sockets_and_other_versions_are_told() {
        let mut facts = Facts {
            version: "1.0.0",
            ..Facts::default()
        };
        facts.dataplane.answer = Some(Err("connection refused".into()));
        facts.dataplane.socket = Some(true);
        facts.control.answer = Some(Ok("0.9.0".into()));
        let seen: Vec<_> = daemons(&facts)
            .iter()
            .map(|finding| (finding.check, finding.status))
            .collect();
        assert_eq!(
            seen,
            [
                ("dataplane", Status::Problem),
                ("control", Status::Ok),
                ("version", Status::Warning)
            ]
        );
        facts.dataplane.socket = Some(false);
        assert_eq!(daemons(&facts)[0].status, Status::Warning);
    }

    #[test]
    fn ports_that_are_down_or_slow_and_dataplanes_out_of_step_are_told() {
        let port = |name: &str, up, generic| Port {
            name: name.into(),
            up,
            generic,
            attachment: "why".into(),
        };
        let facts = Facts {
            node: Some(Node {
                ports: vec![port("a", true, false), port("b", false, false), port("c", true, true)],
                ..Node::default()
            }),
            driven: vec![Driven {
                node: "node2".into(),
                connected: false,
                error: "refused".into(),
                ..Driven::default()
            }],
            ..Facts::default()
        };
        let seen: Vec<_> = daemons(&facts)
            .iter()
            .filter(|finding| finding.status > Status::Ok)
            .map(|finding| (finding.subject.clone(), finding.status))
            .collect();
        assert_eq!(
            seen,
            [
                ("node2".to_owned(), Status::Problem),
                ("b".to_owned(), Status::Problem),
                ("c".to_owned(), Status::Warning)
            ]
        );
    }
}
