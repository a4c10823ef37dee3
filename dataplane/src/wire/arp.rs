//! ARP (RFC 826) and RARP (RFC 903) for IPv4 over Ethernet.

use core::net::Ipv4Addr;

use super::bytes::get_u16;
use super::view::{fields, view};
use super::{Mac, WireError, ethertype};

/// Bytes of an ARP message.
pub const LEN: usize = 28;
/// Operation: who has this address?
pub const REQUEST: u16 = 1;
/// Operation: I have it.
pub const REPLY: u16 = 2;
/// RARP operation: what is my address? Hypervisors announce a moved guest with it.
pub const REVERSE_REQUEST: u16 = 3;

view! {
    /// An ARP message.
    Arp, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("ARP", LEN, bytes.len())?;
    let invalid = |field, value: u16, expected| Err(WireError::invalid("ARP", field, u32::from(value), expected));
    match (get_u16(bytes, 0), get_u16(bytes, 2), get_u16(bytes, 4)) {
        (1, ethertype::IPV4, 0x0604) => Ok(()),
        (1, ethertype::IPV4, lens) => invalid("hardware and protocol address length", lens, "1540 (6 and 4 bytes)"),
        (1, protocol, _) => invalid("protocol type", protocol, "2048 (IPv4)"),
        (hardware, ..) => invalid("hardware type", hardware, "1 (Ethernet)"),
    }
}

fields! {
    Arp {
        "Operation: [`REQUEST`], [`REPLY`], ..." operation, set_operation: u16 = 6;
        "Hardware address of the sender." sender_mac, set_sender_mac: Mac = 8;
        "Protocol address of the sender; zero in a probe (RFC 5227)." sender_ip, set_sender_ip: Ipv4Addr = 14;
        "Hardware address of the target; zero in a request." target_mac, set_target_mac: Mac = 18;
        "Protocol address of the target." target_ip, set_target_ip: Ipv4Addr = 24;
    }
}

impl<T: AsRef<[u8]>> Arp<T> {
    /// Does the sender announce its own address (RFC 5944 section 4.6, gratuitous ARP, request or reply)?
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip() == self.target_ip() && !self.sender_ip().is_unspecified()
    }
}

/// An ARP message to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpMessage {
    /// Operation.
    pub operation: u16,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Protocol address of the sender.
    pub sender_ip: Ipv4Addr,
    /// Hardware address of the target.
    pub target_mac: Mac,
    /// Protocol address of the target.
    pub target_ip: Ipv4Addr,
}

impl ArpMessage {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        let mut view = Arp::new_unchecked(&mut bytes);
        view.set_operation(self.operation);
        view.set_sender_mac(self.sender_mac);
        view.set_sender_ip(self.sender_ip);
        view.set_target_mac(self.target_mac);
        view.set_target_ip(self.target_ip);
        bytes
    }
}

impl<T: AsRef<[u8]>> From<&Arp<T>> for ArpMessage {
    fn from(view: &Arp<T>) -> Self {
        Self {
            operation: view.operation(),
            sender_mac: view.sender_mac(),
            sender_ip: view.sender_ip(),
            target_mac: view.target_mac(),
            target_ip: view.target_ip(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_other_families() {
        let good = ArpMessage {
            operation: REQUEST,
            sender_mac: Mac::GATEWAY,
            sender_ip: [10, 0, 0, 1].into(),
            target_mac: Mac::ZERO,
            target_ip: [10, 0, 0, 1].into(),
        }
        .to_bytes();
        assert!(Arp::new_checked(&good).unwrap().is_gratuitous());
        assert!(Arp::new_checked(&good[..27]).is_err());
        for at in [1, 2, 4, 5] {
            let mut bad = good;
            bad[at] ^= 0x0f;
            let error = Arp::new_checked(bad).unwrap_err();
            assert!(matches!(error, WireError::Invalid { header: "ARP", .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(operation: u16, a: [u8; 6], b: [u8; 4], c: [u8; 6], d: [u8; 4]) {
            let message = ArpMessage { operation, sender_mac: Mac(a), sender_ip: b.into(), target_mac: Mac(c), target_ip: d.into() };
            let bytes = message.to_bytes();
            prop_assert_eq!(ArpMessage::from(&Arp::new_checked(&bytes).unwrap()), message);
            let e = etherparse::ArpPacketSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!(e.operation().0, operation);
            prop_assert_eq!((e.sender_hw_addr(), e.sender_protocol_addr()), (&a[..], &b[..]));
            prop_assert_eq!((e.target_hw_addr(), e.target_protocol_addr()), (&c[..], &d[..]));
        }
    }
}
