//! Ports of a node's floating addresses that stand for ports of containers.

use std::net::IpAddr;

use vrouter_proto::control as pb;

use super::{Client, Error};

/// Where ports are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The floating address's name, if it is to be made. One address serves containers of one node only: let the node be part of it.
    pub name: String,
    /// The external network. Empty: the one that there is.
    pub network: String,
    /// The address. `None`: the one of that name, or any that is free.
    pub address: Option<IpAddr>,
    /// 4 or 6; 0: as the address is.
    pub family: u32,
}

/// A port that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The floating address.
    pub address: IpAddr,
    /// "tcp", "udp" or "sctp".
    pub protocol: String,
    /// Its port.
    pub port: u16,
    /// The container's port.
    pub target_port: u16,
}

impl Client {
    /// Publishes ports of an endpoint ("network/name"): (protocol, port, target port), where port 0 is any. Doing it again changes nothing. All of
    /// them or none are published. The address is made when it is absent, and deleted with its last port.
    ///
    /// # Errors
    /// As [`call`](Self::call); ALREADY_EXISTS when a port leads elsewhere.
    pub async fn publish(
        &self,
        at: &Publication,
        endpoint: &str,
        ports: &[(&str, u16, u16)],
    ) -> Result<Vec<Published>, Error> {
        let forward = |(protocol, port, target): &(&str, u16, u16)| pb::PortForward {
            protocol: (*protocol).to_owned(),
            port: (*port).into(),
            endpoint: endpoint.to_owned(),
            target_port: (*target).into(),
        };
        let request = pb::PublishPortsRequest {
            floating_ip: Some(pb::FloatingIp {
                name: at.name.clone(),
                network: at.network.clone(),
                address: at.address.map(|address| address.to_string()).unwrap_or_default(),
                family: at.family,
                forwards: ports.iter().map(forward).collect(),
                ..Default::default()
            }),
        };
        let floating = self.call(async |mut api| api.publish_ports(request).await).await?;
        let address: IpAddr = floating
            .address
            .parse()
            .map_err(|_| Error::Nonsense(format!("floating address {} is {:?}", floating.name, floating.address)))?;
        let asked = |forward: &&pb::PortForward| {
            let same = |(protocol, port, target): &(&str, u16, u16)| {
                forward.protocol == *protocol
                    && (*port == 0 || forward.port == u32::from(*port))
                    && forward.target_port == u32::from(*target)
            };
            forward.endpoint == endpoint && ports.iter().any(same)
        };
        let published = floating.forwards.iter().filter(asked).map(|forward| Published {
            address,
            protocol: forward.protocol.clone(),
            port: u16::try_from(forward.port).unwrap_or_default(),
            target_port: u16::try_from(forward.target_port).unwrap_or_default(),
        });
        Ok(published.collect())
    }

    /// Takes published ports of an endpoint ("network/name") away: these, or, of none, all; how many there were. Deleting the endpoint does it, too.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn withdraw(&self, endpoint: &str, ports: &[(&str, u16, u16)]) -> Result<u32, Error> {
        let forward = |(protocol, port, target): &(&str, u16, u16)| pb::PortForward {
            protocol: (*protocol).to_owned(),
            port: (*port).into(),
            target_port: (*target).into(),
            ..Default::default()
        };
        let request = pb::WithdrawPortsRequest {
            endpoint: endpoint.to_owned(),
            forwards: ports.iter().map(forward).collect(),
        };
        let answer = self.call(async |mut api| api.withdraw_ports(request).await).await?;
        Ok(answer.withdrawn)
    }
}
