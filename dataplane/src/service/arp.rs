//! ARP for Ethernet and IPv4 (RFC 826, probes and announcements of RFC 5227).

use std::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use super::ethernet;
use crate::{
    packet::Frame,
    wire::{Mac, ethertype},
};

/// Bytes of an ARP message for Ethernet and IPv4.
pub const MESSAGE: usize = 28;

/// What an ARP message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender address is at the sender MAC.
    Reply,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// Station that speaks: always one station.
    pub sender_mac: Mac,
    /// Its address; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Station spoken to; without meaning in a request.
    pub target_mac: Mac,
    /// Address asked for, or, in a reply, address of the station spoken to.
    pub target_ip: Ipv4Addr,
}

/// Why bytes are no ARP message that one may believe or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArpError {
    /// The ethertype is another one.
    #[error("not an ARP frame: ethertype is not 0x0806")]
    NotArp,
    /// Shorter than the message.
    #[error("the ARP message is cut short: {MESSAGE} bytes wanted behind the Ethernet header")]
    Truncated,
    /// Hardware or protocol type or length of something else.
    #[error("the ARP message is not for Ethernet (type 1, 6 bytes) and IPv4 (type 0x0800, 4 bytes)")]
    NotEthernetIpv4,
    /// RARP and the like.
    #[error("ARP operation {0} is neither request (1) nor reply (2)")]
    Operation(u16),
    /// The sender's MAC is a group or zero: no router may believe it (RFC 1812, section 3.3.2).
    #[error("the ARP sender's MAC {0} is not that of one station")]
    SenderMac(Mac),
    /// The sender's address is multicast, broadcast or loopback, or unspecified in a reply.
    #[error("the ARP sender's address {0} is not that of one host")]
    SenderIp(Ipv4Addr),
    /// The address asked for is one that no host can have.
    #[error("the ARP request asks for {0}, which no host can have")]
    TargetIp(Ipv4Addr),
    /// A reply is asked to a message that asks nothing.
    #[error("not an ARP request")]
    NotARequest,
}

impl Arp {
    /// Asks whether anybody uses the address, claiming nothing (RFC 5227, section 2.1.1).
    pub fn is_probe(&self) -> bool {
        self.sender_ip.is_unspecified()
    }

    /// Tells all stations of the sender's own address: sender and target address are the same.
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }

    /// The reply that says the target address is at `answer_mac`.
    pub fn answer(&self, answer_mac: Mac) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: answer_mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// The message in an untagged frame from its sender to `destination`, padded to the smallest frame.
    pub fn to_frame(&self, destination: Mac) -> [u8; ethernet::MIN_FRAME] {
        let mut frame = [0; ethernet::MIN_FRAME];
        let (header, message) = frame.split_at_mut(ethernet::HEADER);
        header.copy_from_slice(&ethernet::header(destination, self.sender_mac, ethertype::ARP));
        self.emit(message);
        frame
    }

    /// Writes the message to the first bytes of `out`, which must have [`MESSAGE`].
    fn emit(&self, out: &mut [u8]) {
        let Some(out) = out.first_chunk_mut::<MESSAGE>() else {
            return;
        };
        ArpRepr::EthernetIpv4 {
            operation: match self.operation {
                Operation::Request => ArpOperation::Request,
                Operation::Reply => ArpOperation::Reply,
            },
            source_hardware_addr: EthernetAddress(self.sender_mac.0),
            source_protocol_addr: self.sender_ip,
            target_hardware_addr: EthernetAddress(self.target_mac.0),
            target_protocol_addr: self.target_ip,
        }
        .emit(&mut ArpPacket::new_unchecked(&mut out[..]));
    }
}

/// Reads the ARP message of a frame, tagged or not.
///
/// # Errors
/// [`ArpError`] for anything that a router may neither answer nor learn from.
pub fn parse(frame: &[u8]) -> Result<Arp, ArpError> {
    parse_at(frame).map(|(arp, _)| arp)
}

/// As [`parse`], requests only that can have an answer.
///
/// # Errors
/// As [`parse`], [`ArpError::NotARequest`] and [`ArpError::TargetIp`].
pub fn parse_request(frame: &[u8]) -> Result<Arp, ArpError> {
    request_at(frame).map(|(arp, _)| arp)
}

/// Turns the request in the frame into the reply that says its target address is at `answer_mac`. Tags are kept.
///
/// # Errors
/// [`ArpError`] when the frame holds no request; it is unchanged then.
pub fn reply(frame: &mut Frame, answer_mac: Mac) -> Result<(), ArpError> {
    let (request, offset) = request_at(frame.data())?;
    let data = frame.data_mut();
    ethernet::address(data, request.sender_mac, answer_mac);
    if let Some(message) = data.get_mut(offset..) {
        request.answer(answer_mac).emit(message);
    }
    Ok(())
}

/// The request and its offset in the frame.
fn request_at(frame: &[u8]) -> Result<(Arp, usize), ArpError> {
    let (arp, offset) = parse_at(frame)?;
    if arp.operation != Operation::Request {
        return Err(ArpError::NotARequest);
    }
    if !is_one_host(arp.target_ip) {
        return Err(ArpError::TargetIp(arp.target_ip));
    }
    Ok((arp, offset))
}

/// The message and its offset in the frame.
fn parse_at(frame: &[u8]) -> Result<(Arp, usize), ArpError> {
    let (kind, offset) = ethernet::payload(frame).ok_or(ArpError::Truncated)?;
    if kind != ethertype::ARP {
        return Err(ArpError::NotArp);
    }
    let message = frame.get(offset..).unwrap_or_default();
    if message.len() < MESSAGE {
        return Err(ArpError::Truncated);
    }
    let packet = ArpPacket::new_checked(message).map_err(|_| ArpError::NotEthernetIpv4)?;
    let repr = ArpRepr::parse(&packet).map_err(|_| ArpError::NotEthernetIpv4)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr: sender_ip,
        target_hardware_addr,
        target_protocol_addr: target_ip,
    } = repr
    else {
        return Err(ArpError::NotEthernetIpv4);
    };
    let operation = match operation {
        ArpOperation::Request => Operation::Request,
        ArpOperation::Reply => Operation::Reply,
        other => return Err(ArpError::Operation(other.into())),
    };
    let sender_mac = Mac(source_hardware_addr.0);
    if !sender_mac.is_unicast() {
        return Err(ArpError::SenderMac(sender_mac));
    }
    let probe = operation == Operation::Request && sender_ip.is_unspecified();
    if !probe && !is_one_host(sender_ip) {
        return Err(ArpError::SenderIp(sender_ip));
    }
    let arp = Arp {
        operation,
        sender_mac,
        sender_ip,
        target_mac: Mac(target_hardware_addr.0),
        target_ip,
    };
    Ok((arp, offset))
}

/// An address that one host may have and speak from.
fn is_one_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use etherparse::{ArpHardwareId, ArpOperation as EtherparseOperation, NetSlice, SlicedPacket};
    use proptest::prelude::*;

    use super::*;
    use crate::service::test_frames::with_frame;

    const ASKER: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn request() -> Arp {
        Arp {
            operation: Operation::Request,
            sender_mac: ASKER,
            sender_ip: Ipv4Addr::new(10, 0, 0, 1),
            target_mac: Mac::ZERO,
            target_ip: Ipv4Addr::new(10, 0, 0, 254),
        }
    }

    fn check_reply(frame: &[u8], asker_ip: Ipv4Addr) {
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Arp(arp)) = sliced.net else {
            panic!("{sliced:?}")
        };
        assert_eq!(arp.hw_addr_type(), ArpHardwareId::ETHERNET);
        assert_eq!(arp.operation(), EtherparseOperation::REPLY);
        assert_eq!(arp.sender_hw_addr(), OURS.0);
        assert_eq!(arp.sender_protocol_addr(), [10, 0, 0, 254]);
        assert_eq!(arp.target_hw_addr(), ASKER.0);
        assert_eq!(arp.target_protocol_addr(), asker_ip.octets());
        assert_eq!(frame[..6], ASKER.0);
        assert_eq!(frame[6..12], OURS.0);
    }

    #[test]
    fn a_request_becomes_its_reply() {
        let bytes = request().to_frame(Mac::BROADCAST);
        assert_eq!(parse_request(&bytes), Ok(request()));
        with_frame(&bytes, |frame| {
            reply(frame, OURS).unwrap();
            assert_eq!(frame.len(), bytes.len());
            check_reply(frame.data(), Ipv4Addr::new(10, 0, 0, 1));
            // A reply is not answered again.
            assert_eq!(reply(frame, OURS), Err(ArpError::NotARequest));
            assert_eq!(parse_request(frame.data()), Err(ArpError::NotARequest));
        });
    }

    #[test]
    fn a_probe_is_answered_without_an_address() {
        let probe = Arp {
            sender_ip: Ipv4Addr::UNSPECIFIED,
            ..request()
        };
        assert!(probe.is_probe() && !probe.is_gratuitous());
        with_frame(&probe.to_frame(Mac::BROADCAST), |frame| {
            reply(frame, OURS).unwrap();
            check_reply(frame.data(), Ipv4Addr::UNSPECIFIED);
        });
    }

    #[test]
    fn the_tag_is_kept() {
        let mut bytes = request().to_frame(Mac::BROADCAST).to_vec();
        bytes.splice(12..12, [0x81, 0x00, 0x20, 0x05]);
        with_frame(&bytes, |frame| {
            reply(frame, OURS).unwrap();
            assert_eq!(frame.data()[12..18], [0x81, 0x00, 0x20, 0x05, 0x08, 0x06]);
            check_reply(frame.data(), Ipv4Addr::new(10, 0, 0, 1));
        });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = request().to_frame(Mac::BROADCAST);
        let parse_with = |at: usize, value: &[u8]| {
            let mut bytes = good;
            bytes[at..at + value.len()].copy_from_slice(value);
            parse(&bytes)
        };
        assert_eq!(parse(&good[..41]), Err(ArpError::Truncated));
        assert_eq!(parse(&good[..13]), Err(ArpError::Truncated));
        assert_eq!(parse_with(12, &[0x08, 0x00]), Err(ArpError::NotArp));
        assert_eq!(parse_with(14, &[0, 6]), Err(ArpError::NotEthernetIpv4));
        assert_eq!(parse_with(16, &[0x86, 0xdd]), Err(ArpError::NotEthernetIpv4));
        assert_eq!(parse_with(18, &[255, 255]), Err(ArpError::NotEthernetIpv4));
        assert_eq!(parse_with(18, &[4, 6]), Err(ArpError::NotEthernetIpv4));
        assert_eq!(parse_with(20, &[0, 3]), Err(ArpError::Operation(3)));
        assert_eq!(parse_with(22, &[0xff; 6]), Err(ArpError::SenderMac(Mac::BROADCAST)));
        assert_eq!(parse_with(22, &[0; 6]), Err(ArpError::SenderMac(Mac::ZERO)));
        assert_eq!(
            parse_with(28, &[224, 0, 0, 1]),
            Err(ArpError::SenderIp(Ipv4Addr::new(224, 0, 0, 1)))
        );
        let mut to_all = good;
        to_all[38..42].fill(255);
        assert_eq!(parse_request(&to_all), Err(ArpError::TargetIp(Ipv4Addr::BROADCAST)));
        assert_eq!(parse_with(28, &[255; 4]), Err(ArpError::SenderIp(Ipv4Addr::BROADCAST)));
        let mut unspecified_reply = good;
        unspecified_reply[21] = 2;
        unspecified_reply[28..32].fill(0);
        assert_eq!(
            parse(&unspecified_reply),
            Err(ArpError::SenderIp(Ipv4Addr::UNSPECIFIED))
        );
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..128), as_arp: bool) {
            let mut bytes = bytes;
            if as_arp && bytes.len() > 22 {
                bytes[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
            }
            let parsed = parse_request(&bytes);
            prop_assert!(parse(&bytes).is_ok() || parsed.is_err());
            with_frame(&bytes, |frame| {
                let outcome = reply(frame, OURS);
                prop_assert_eq!(outcome.is_ok(), parsed.is_ok());
                if outcome.is_err() {
                    prop_assert_eq!(frame.data(), &bytes[..]);
                }
                Ok(())
            })?;
        }
    }
}
