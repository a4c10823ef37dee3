//! The addresses that are ours alone, as the steering program knows them.

use std::{collections::HashSet, net::IpAddr};

use libbpf_rs::{ErrorKind, MapCore, MapFlags};

use super::{error::OpenError, program::Program};

/// Addresses told to the kernel in one call.
const AT_ONCE: usize = 4096;

/// Addresses of which every packet goes to the socket.
#[derive(Debug, Default)]
pub(super) struct Owned(HashSet<IpAddr>);

impl Owned {
    /// Adds some and takes others away; additions come first. What is there already, or gone, is passed over. On failure, no address has
    /// been added.
    pub(super) fn change(&mut self, program: &Program, added: &[IpAddr], removed: &[IpAddr]) -> Result<(), OpenError> {
        let mut news: Vec<IpAddr> = added.iter().copied().filter(|a| !self.0.contains(a)).collect();
        news.sort_unstable();
        news.dedup();
        if let Err(error) = add(program, &news) {
            // Some of them may be in already.
            let _ = remove(program, &news);
            return Err(error);
        }
        self.0.extend(news);
        let gone: Vec<IpAddr> = removed.iter().copied().filter(|a| self.0.remove(a)).collect();
        remove(program, &gone)
    }

    /// There are IPv6 addresses among them.
    pub(super) fn has_v6(&self) -> bool {
        self.0.iter().any(IpAddr::is_ipv6)
    }
}

fn add(program: &Program, addresses: &[IpAddr]) -> Result<(), OpenError> {
    let failed = |e| OpenError::from_libbpf("tell the XDP program an address of ours", e);
    for (name, v6) in [("owned_v4", false), ("owned_v6", true)] {
        let addresses: Vec<_> = addresses.iter().filter(|a| a.is_ipv6() == v6).collect();
        let map = program.map(name)?;
        for some in addresses.chunks(AT_ONCE) {
            let keys: Vec<u8> = some.iter().flat_map(|address| key(address)).collect();
            let values = vec![1; some.len()];
            map.update_batch(&keys, &values, some.len() as u32, MapFlags::ANY, MapFlags::ANY)
                .map_err(failed)?;
        }
    }
    Ok(())
}

/// One by one: a batch ends at the first address that is not there.
fn remove(program: &Program, addresses: &[IpAddr]) -> Result<(), OpenError> {
    for (name, v6) in [("owned_v4", false), ("owned_v6", true)] {
        let map = program.map(name)?;
        for address in addresses.iter().filter(|a| a.is_ipv6() == v6) {
            match map.delete(&key(address)) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(OpenError::from_libbpf("take an address from the XDP program", e));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn key(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
