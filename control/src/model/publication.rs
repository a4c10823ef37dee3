//! Ports of floating addresses as publishers ask for them: each adds and takes away its own, and leaves the others'.

use vrouter_proto::control as pb;

use super::{
    error::{InField, Invalid},
    floating_ip::FloatingIpSpec,
    object::Wish,
    reference::EndpointRef,
    traffic::{self, Protocol},
};

/// A port to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Of the floating address; `None`: any that is free.
    pub port: Option<u16>,
    /// The endpoint.
    pub endpoint: EndpointRef,
    /// The endpoint's port.
    pub target_port: u16,
}

/// Ports to be published at one floating address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The floating address as it is made when it is absent: without forwards.
    pub floating: Wish<FloatingIpSpec>,
    /// The ports.
    pub ports: Vec<PublishedPort>,
}

/// Ports to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Where they lead.
    pub endpoint: EndpointRef,
    /// Protocol, port and target port of each; empty: all. A target port of `None` is any.
    pub ports: Vec<(Protocol, u16, Option<u16>)>,
}

impl Publication {
    /// Checks a request.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(floating: Option<pb::FloatingIp>) -> Result<Self, Invalid> {
        let mut floating = floating.ok_or_else(|| Invalid::new("floating_ip", "is missing"))?;
        if !floating.endpoint.is_empty() {
            let message = "an address that stands for an endpoint with all ports publishes none of its own";
            return Err(Invalid::new("floating_ip.endpoint", message));
        }
        if floating.forwards.is_empty() {
            return Err(Invalid::new(
                "floating_ip.forwards",
                "is empty; nothing is to be published",
            ));
        }
        let forwards = std::mem::take(&mut floating.forwards);
        floating.ephemeral = true;
        let mut ports = Vec::with_capacity(forwards.len());
        for (index, forward) in forwards.iter().enumerate() {
            let at = |name: &str| format!("floating_ip.forwards[{index}].{name}");
            let port = match forward.port {
                0 => None,
                port => Some(traffic::port(port).in_field(&at("port"))?),
            };
            let target = if forward.target_port == 0 {
                forward.port
            } else {
                forward.target_port
            };
            ports.push(PublishedPort {
                protocol: Protocol::with_ports(&forward.protocol).in_field(&at("protocol"))?,
                port,
                endpoint: EndpointRef::new(&forward.endpoint).in_field(&at("endpoint"))?,
                target_port: traffic::port(target).in_field(&at("target_port"))?,
            });
        }
        Ok(Self {
            floating: Wish::<FloatingIpSpec>::from_proto(Some(floating))?,
            ports,
        })
    }
}

impl Withdrawal {
    /// Checks a request.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(request: &pb::WithdrawPortsRequest) -> Result<Self, Invalid> {
        let mut ports = Vec::with_capacity(request.forwards.len());
        for (index, forward) in request.forwards.iter().enumerate() {
            let at = |name: &str| format!("forwards[{index}].{name}");
            let target = match forward.target_port {
                0 => None,
                port => Some(traffic::port(port).in_field(&at("target_port"))?),
            };
            let protocol = Protocol::with_ports(&forward.protocol).in_field(&at("protocol"))?;
            ports.push((protocol, traffic::port(forward.port).in_field(&at("port"))?, target));
        }
        Ok(Self {
            endpoint: EndpointRef::new(&request.endpoint).in_field("endpoint")?,
            ports,
        })
    }
}
