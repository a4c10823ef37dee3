//! Parts of services: ports (`https:tcp/443=8443`), backends (`blue/web-1,weight=3`), health checks (`http:8080/healthz,interval=1000`).

use std::{fmt, net::IpAddr, str::FromStr};

use vrouter_proto::control::{self as api, service_backend};

use super::option;

/// A port of a service as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Port(pub(in crate::intent) api::ServicePort);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused =
            || format!("{text:?} is no port of a service: [NAME:]PROTOCOL/PORT[=TARGET] is wanted, like tcp/80=8080");
        let (name, rest) = text.split_once(':').unwrap_or(("", text));
        let (protocol, ports) = rest.split_once('/').ok_or_else(refused)?;
        let (port, target) = ports.split_once('=').unwrap_or((ports, "0"));
        Ok(Self(api::ServicePort {
            name: name.to_owned(),
            protocol: protocol.to_ascii_lowercase(),
            port: port.parse().map_err(|_| refused())?,
            target_port: target.parse().map_err(|_| refused())?,
        }))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        if !it.name.is_empty() {
            write!(f, "{}:", it.name)?;
        }
        let protocol = if it.protocol.is_empty() { "tcp" } else { &it.protocol };
        write!(f, "{protocol}/{}", it.port)?;
        match it.target_port {
            0 => Ok(()),
            target => write!(f, "={target}"),
        }
    }
}

/// A backend as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Backend(pub(in crate::intent) api::ServiceBackend);

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused =
            || format!("{text:?} is no backend: NETWORK/NAME or ADDRESS, then [,weight=N][,draining], is wanted");
        let mut parts = text.split(',');
        let who = parts.next().unwrap_or_default();
        let who = if who.parse::<IpAddr>().is_ok() {
            service_backend::Backend::Address(who.to_owned())
        } else if who.contains('/') {
            service_backend::Backend::Endpoint(who.to_owned())
        } else {
            return Err(refused());
        };
        let mut backend = api::ServiceBackend {
            backend: Some(who),
            ..Default::default()
        };
        for part in parts {
            match option(part) {
                ("weight", Some(value)) => backend.weight = value.parse().map_err(|_| refused())?,
                ("draining", None) => backend.draining = true,
                _ => return Err(refused()),
            }
        }
        Ok(Self(backend))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.backend {
            Some(service_backend::Backend::Endpoint(who) | service_backend::Backend::Address(who)) => {
                f.write_str(who)?;
            }
            None => f.write_str("nobody")?,
        }
        if self.0.weight > 1 {
            write!(f, ",weight={}", self.0.weight)?;
        }
        if self.0.draining {
            f.write_str(",draining")?;
        }
        Ok(())
    }
}

/// A health check as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Health(pub(in crate::intent) api::ServiceHealthCheck);

impl FromStr for Health {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!(
                "{text:?} is no health check: tcp[:PORT], http[:PORT][/PATH] or grpc[:PORT][/SERVICE], then \
                 [,interval=MS][,timeout=MS][,rise=N][,fall=N], is wanted"
            )
        };
        let mut parts = text.split(',');
        let what = parts.next().unwrap_or_default();
        let (head, target) = match what.find('/') {
            Some(at) => what.split_at(at),
            None => (what, ""),
        };
        let (kind, port) = head.split_once(':').unwrap_or((head, "0"));
        let mut check = api::ServiceHealthCheck {
            kind: kind.to_owned(),
            port: port.parse().map_err(|_| refused())?,
            ..Default::default()
        };
        check.target = match kind {
            "http" => target.to_owned(),
            "grpc" => target.trim_start_matches('/').to_owned(),
            "tcp" if target.is_empty() => String::new(),
            _ => return Err(refused()),
        };
        for part in parts {
            let (key, value) = option(part);
            let number = value.and_then(|v| v.parse().ok()).ok_or_else(refused)?;
            match key {
                "interval" => check.interval_ms = number,
                "timeout" => check.timeout_ms = number,
                "rise" => check.rise = number,
                "fall" => check.fall = number,
                _ => return Err(refused()),
            }
        }
        Ok(Self(check))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        f.write_str(&it.kind)?;
        if it.port != 0 {
            write!(f, ":{}", it.port)?;
        }
        if it.kind == "grpc" && !it.target.is_empty() {
            f.write_str("/")?;
        }
        f.write_str(&it.target)?;
        let numbers = [
            ("interval", it.interval_ms),
            ("timeout", it.timeout_ms),
            ("rise", it.rise),
            ("fall", it.fall),
        ];
        for (key, value) in numbers.into_iter().filter(|(_, value)| *value != 0) {
            write!(f, ",{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            let read = text.parse::<T>().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read.to_string(), *text);
        }
    }

    #[test]
    fn parts_are_written_as_they_are_read() {
        round::<Port>(&["tcp/80", "https:tcp/443=8443", "udp/53"]);
        round::<Backend>(&[
            "blue/web-1",
            "10.1.0.7,weight=3",
            "fd00::7,draining",
            "blue/db,weight=2,draining",
        ]);
        round::<Health>(&[
            "tcp",
            "tcp:22",
            "http:8080/healthz",
            "http/",
            "grpc:50051/my.Service,interval=1000,fall=2",
        ]);
    }

    #[test]
    fn what_is_none_is_told_what_would_be() {
        for text in ["80", "tcp/http", "tcp/80=x"] {
            assert!(text.parse::<Port>().unwrap_err().contains("tcp/80=8080"), "{text}");
        }
        for text in ["web-1", "blue/web-1,weight=x", "blue/web-1,drain"] {
            assert!(text.parse::<Backend>().unwrap_err().contains("NETWORK/NAME"), "{text}");
        }
        for text in ["icmp", "tcp/path", "http:x", "http,often=1", "http,rise"] {
            assert!(text.parse::<Health>().unwrap_err().contains("interval=MS"), "{text}");
        }
    }
}
