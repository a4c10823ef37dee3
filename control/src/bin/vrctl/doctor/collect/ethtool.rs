//! What only the kernel tells, by calls that the libraries here do not wrap: a device's driver and offloads, and whether the clock is kept right.
#![allow(unsafe_code)]

use std::{ffi::c_void, mem, net::UdpSocket, os::fd::AsRawFd as _};

use nix::libc;

use crate::doctor::facts::Offloads;

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_RX_CHECKSUM: u32 = 0x14;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;

/// Bits of the flags.
const FLAG_RX_VLAN: u32 = 1 << 8;
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct Driver {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ifreq` as this call uses it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut c_void,
    rest: [u8; 16],
}

/// Asks about an interface; the answer is in `value`. `false`: it does not say.
fn ask<T>(interface: &str, value: &mut T) -> bool {
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        data: (value as *mut T).cast(),
        rest: [0; 16],
    };
    // The last byte stays zero.
    let Some(place) = request
        .name
        .get_mut(..interface.len())
        .filter(|place| place.len() < libc::IFNAMSIZ)
    else {
        return false;
    };
    place.copy_from_slice(interface.as_bytes());
    let Ok(socket) = UdpSocket::bind(("0.0.0.0", 0)).or_else(|_| UdpSocket::bind(("::", 0))) else {
        return false;
    };
    // SAFETY: `request` is as large as the kernel's `ifreq` and points to `value`, whose type is the one that the command in it is
    // answered with; both live until the call returns, and the kernel writes nowhere else.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &mut request) };
    answer == 0
}

fn value(interface: &str, command: u32) -> Option<u32> {
    let mut value = Value { command, data: 0 };
    ask(interface, &mut value).then_some(value.data)
}

/// Name of the driver.
pub(super) fn driver(interface: &str) -> Option<String> {
    let mut answer = Driver {
        command: GET_DRIVER,
        driver: [0; 32],
        rest: [0; 160],
    };
    const { assert!(size_of::<Driver>() == 196) };
    if !ask(interface, &mut answer) {
        return None;
    }
    let name = answer.driver.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// What is done to packets before they are handed over.
pub(super) fn offloads(interface: &str) -> Offloads {
    let flags = value(interface, GET_FLAGS);
    Offloads {
        lro: flags.map(|flags| flags & FLAG_LRO != 0),
        gro: value(interface, GET_GRO).map(|on| on != 0),
        rx_checksum: value(interface, GET_RX_CHECKSUM).map(|on| on != 0),
        rx_vlan: flags.map(|flags| flags & FLAG_RX_VLAN != 0),
    }
}

/// Somebody keeps the wall's clock right.
pub(super) fn clock_synchronized() -> Option<bool> {
    // SAFETY: all zeros is a valid `timex`, which asks for nothing to be changed.
    let mut state: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: `state` is ours and outlives the call.
    match unsafe { libc::adjtimex(&mut state) } {
        -1 => None,
        _ => Some(state.status & libc::STA_UNSYNC == 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_says_nothing() {
        assert_eq!(driver("nobody0"), None);
        assert_eq!(driver("a name that is much too long for one"), None);
        assert_eq!(offloads("nobody0").lro, None);
        // The loopback says something in every namespace.
        assert!(offloads("lo").gro.is_some());
    }
}
