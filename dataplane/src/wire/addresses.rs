//! Who an IP packet is from and for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::IpKind;

/// Source and destination of an IPv4 packet; `None` if its header ends before them.
#[inline(always)]
#[must_use]
pub fn v4(ip: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (source, rest) = ip.get(12..20)?.split_first_chunk::<4>()?;
    Some((Ipv4Addr::from(*source), Ipv4Addr::from(*rest.first_chunk::<4>()?)))
}

/// Source and destination of an IPv6 packet; `None` if its header ends before them.
#[inline(always)]
#[must_use]
pub fn v6(ip: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (source, rest) = ip.get(8..40)?.split_first_chunk::<16>()?;
    Some((Ipv6Addr::from(*source), Ipv6Addr::from(*rest.first_chunk::<16>()?)))
}

/// Source and destination of an IP packet of either family; `None` for what is no IP, or ends before them.
#[inline(always)]
#[must_use]
pub fn of(ip: &[u8], kind: IpKind) -> Option<(IpAddr, IpAddr)> {
    match kind {
        IpKind::V4 => v4(ip).map(|(source, destination)| (source.into(), destination.into())),
        IpKind::V6 => v6(ip).map(|(source, destination)| (source.into(), destination.into())),
        IpKind::None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn are_those_that_another_reader_finds(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut four = bytes.clone();
            four.iter_mut().take(1).for_each(|first| *first = 0x45);
            let known = etherparse::Ipv4HeaderSlice::from_slice(&four).ok();
            let known = known.map(|ip| (IpAddr::from(ip.source_addr()), IpAddr::from(ip.destination_addr())));
            prop_assert_eq!(of(&four, IpKind::V4), known);
            let mut six = bytes.clone();
            six.iter_mut().take(1).for_each(|first| *first = 0x60);
            let known = etherparse::Ipv6HeaderSlice::from_slice(&six).ok();
            let known = known.map(|ip| (IpAddr::from(ip.source_addr()), IpAddr::from(ip.destination_addr())));
            prop_assert_eq!(of(&six, IpKind::V6), known);
            prop_assert_eq!(of(&bytes, IpKind::None), None);
        }
    }
}
