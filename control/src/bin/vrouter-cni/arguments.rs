//! `CNI_ARGS`: arguments of one container, as `KEY=VALUE;KEY=VALUE`.

use std::collections::BTreeMap;

use super::failure::Failure;

/// What Kubernetes' arguments become as labels of the endpoint.
const KUBERNETES: [(&str, &str); 4] = [
    ("K8S_POD_NAMESPACE", "k8s.namespace"),
    ("K8S_POD_NAME", "k8s.pod"),
    ("K8S_POD_UID", "k8s.pod-uid"),
    ("K8S_POD_INFRA_CONTAINER_ID", "k8s.sandbox"),
];

/// The arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// Labels for the endpoint.
    pub(crate) labels: BTreeMap<String, String>,
    /// Addresses wished for.
    pub(crate) ips: Vec<String>,
    /// MAC address wished for.
    pub(crate) mac: Option<String>,
}

impl Arguments {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut this = Self::default();
        let mut unknown = Vec::new();
        let mut ignore = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::environment(format!("CNI_ARGS: {pair:?} is not KEY=VALUE")));
            };
            match key {
                "IgnoreUnknown" => ignore = matches!(value, "1" | "true" | "True" | "TRUE" | "t" | "T"),
                "IP" => this.ips.extend(value.split(',').map(|ip| ip.trim().to_owned())),
                "MAC" => this.mac = Some(value.to_owned()),
                _ => match KUBERNETES.iter().find(|(name, _)| *name == key) {
                    Some((_, label)) if !value.is_empty() => {
                        this.labels.insert((*label).to_owned(), value.to_owned());
                    }
                    Some(_) => {}
                    None => unknown.push(key),
                },
            }
        }
        this.ips.retain(|ip| !ip.is_empty());
        if unknown.is_empty() || ignore {
            return Ok(this);
        }
        let message = format!(
            "CNI_ARGS: {} is not known; IP, MAC and K8S_POD_... are, and IgnoreUnknown=1 lets the rest pass",
            unknown.join(", ")
        );
        Err(Failure::environment(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_kubernetes_become_labels() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_UID=;FOO=bar;IP=10.1.0.7,fd00::7";
        let read = Arguments::parse(text).unwrap();
        assert_eq!(read.labels["k8s.namespace"], "shop");
        assert_eq!(read.labels["k8s.pod"], "web-1");
        assert_eq!(read.labels.len(), 2);
        assert_eq!(read.ips, ["10.1.0.7", "fd00::7"]);
    }

    #[test]
    fn unknown_arguments_are_refused_unless_they_are_to_be_ignored() {
        assert!(Arguments::parse("FOO=bar").unwrap_err().message().contains("FOO"));
        assert!(Arguments::parse("FOO=bar;IgnoreUnknown=true").is_ok());
        assert!(Arguments::parse("nonsense").is_err());
        assert!(Arguments::parse("").is_ok());
    }
}
