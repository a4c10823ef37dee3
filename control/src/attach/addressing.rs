//! What to configure behind an endpoint.

use std::net::IpAddr;

use vrouter_proto::control::Endpoint;

use super::Error;

/// One address of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressing {
    /// The address.
    pub address: IpAddr,
    /// Length of its subnet's prefix.
    pub length: u8,
    /// Its subnet's gateway.
    pub gateway: IpAddr,
}

/// The addresses of an endpoint, each with the gateway that its subnet has.
///
/// # Errors
/// [`Error::Nonsense`]: an address that no gateway is for.
pub fn addressing(endpoint: &Endpoint) -> Result<Vec<Addressing>, Error> {
    let gateways: Vec<(IpAddr, u8)> = endpoint.gateways.iter().filter_map(|text| split(text)).collect();
    let mut all = Vec::with_capacity(endpoint.addresses.len());
    for text in &endpoint.addresses {
        let nonsense = || {
            let of = format!("endpoint {}/{}", endpoint.network, endpoint.name);
            Error::Nonsense(format!(
                "{of}: address {text} has none of the gateways {:?}",
                endpoint.gateways
            ))
        };
        let address: IpAddr = text.parse().map_err(|_| nonsense())?;
        let near = gateways
            .iter()
            .find(|(gateway, length)| shares(address, *gateway, *length));
        let (gateway, length) = *near.ok_or_else(nonsense)?;
        all.push(Addressing {
            address,
            length,
            gateway,
        });
    }
    Ok(all)
}

fn split(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

fn shares(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let equal = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    equal >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_finds_the_gateway_of_its_subnet() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let endpoint = Endpoint {
            addresses: texts(&["10.2.9.9", "fd00:1::7"]),
            gateways: texts(&["10.1.0.1/24", "10.2.0.1/16", "fd00:1::1/64"]),
            ..Default::default()
        };
        let found = addressing(&endpoint).unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|a| format!("{}/{} via {}", a.address, a.length, a.gateway))
            .collect();
        assert_eq!(shown, ["10.2.9.9/16 via 10.2.0.1", "fd00:1::7/64 via fd00:1::1"]);
        let lost = Endpoint {
            addresses: texts(&["10.3.0.1"]),
            ..endpoint
        };
        assert!(addressing(&lost).is_err());
    }
}
