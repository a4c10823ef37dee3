//! What the kernel tells of an interface.
#![allow(unsafe_code)]

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use super::error::OpenError;

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    expansion_rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// `struct ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// Index of the interface of this name in the thread's network namespace.
pub(super) fn index_of(name: &str) -> io::Result<u32> {
    let no_such = || io::Error::from_raw_os_error(libc::ENODEV);
    let c_name = CString::new(name).map_err(|_| no_such())?;
    // SAFETY: a C string that lives through the call.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => Err(no_such()),
        index => Ok(index),
    }
}

/// A view of one interface. It keeps to the network namespace in which it was made, whichever thread asks, and to the
/// interface's index, whatever its name becomes.
#[derive(Debug)]
pub(super) struct Interface {
    control: OwnedFd,
    /// Its index.
    pub(super) index: u32,
    /// Its name when it was found.
    pub(super) name: String,
    /// Its MAC address.
    pub(super) mac: [u8; 6],
}

impl Interface {
    /// Finds the interface in the thread's network namespace.
    pub(super) fn find(name: &str) -> Result<Self, OpenError> {
        let index = index_of(name).map_err(|_| OpenError::NoSuchInterface { name: name.into() })?;
        // SAFETY: a plain call; the descriptor is new and ours.
        let control = unsafe {
            match libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        }
        .map_err(|e| OpenError::from_call("open a control socket", name, e))?;
        let mut interface = Self {
            control,
            index,
            name: name.into(),
            mac: [0; 6],
        };
        let mut request = interface.request();
        interface
            .ioctl(libc::SIOCGIFHWADDR, &mut request)
            .map_err(|e| OpenError::from_call("read the MAC address", name, e))?;
        // SAFETY: this request fills in the hardware address.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        if address.sa_family != libc::ARPHRD_ETHER {
            return Err(OpenError::NotEthernet {
                name: name.into(),
                hardware_type: address.sa_family,
            });
        }
        for (to, from) in interface.mac.iter_mut().zip(address.sa_data) {
            *to = from as u8;
        }
        Ok(interface)
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: all zero is a valid value of this plain C struct.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let room = request.ifr_name.len() - 1;
        for (to, from) in request.ifr_name[..room].iter_mut().zip(self.name.bytes()) {
            *to = from as libc::c_char;
        }
        request
    }

    fn ioctl(&self, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: all requests used here take an `ifreq`; where that holds a pointer, it is `ethtool`'s.
        match unsafe { libc::ioctl(self.control.as_raw_fd(), number, ptr::from_mut(request)) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// # Safety
    /// `T` must be the struct of the command that it starts with.
    pub(super) unsafe fn ethtool<T>(&self, data: &mut T) -> io::Result<()> {
        let mut request = self.request_by_index()?;
        request.ifr_ifru.ifru_data = ptr::from_mut(data).cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)
    }

    /// A request under the name that the interface has now: it may have been renamed.
    fn request_by_index(&self) -> io::Result<libc::ifreq> {
        let mut request = self.request();
        request.ifr_ifru.ifru_ifindex = self.index as libc::c_int;
        self.ioctl(libc::SIOCGIFNAME, &mut request)?;
        Ok(request)
    }

    /// Its MTU, bytes.
    pub(super) fn mtu(&self) -> Result<u32, OpenError> {
        let asked = self.request_by_index().and_then(|mut request| {
            self.ioctl(libc::SIOCGIFMTU, &mut request)?;
            Ok(request)
        });
        let request = asked.map_err(|e| OpenError::from_call("read the MTU", &self.name, e))?;
        // SAFETY: this request fills in the MTU.
        Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
    }

    /// Name of its driver; "unknown" when it does not tell.
    pub(super) fn driver(&self) -> String {
        let mut info = DriverInfo {
            command: ETHTOOL_GDRVINFO,
            driver: [0; 32],
            version: [0; 32],
            firmware: [0; 32],
            bus: [0; 32],
            expansion_rom: [0; 32],
            reserved: [0; 12],
            counts: [0; 5],
        };
        // SAFETY: the struct of this command.
        if unsafe { self.ethtool(&mut info) }.is_err() {
            return "unknown".into();
        }
        let end = info
            .driver
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(info.driver.len());
        String::from_utf8_lossy(&info.driver[..end]).into_owned()
    }

    /// Its receive queues; one when it does not tell.
    pub(super) fn receive_queues(&self) -> u32 {
        let mut channels = Channels {
            command: ETHTOOL_GCHANNELS,
            ..Channels::default()
        };
        // SAFETY: the struct of this command.
        match unsafe { self.ethtool(&mut channels) } {
            Ok(()) => (channels.rx + channels.combined).max(1),
            Err(_) => self.receive_queues_in_sysfs().max(1),
        }
    }

    /// For drivers without channels. Sees only the network namespace for which `/sys` was mounted.
    fn receive_queues_in_sysfs(&self) -> u32 {
        let Ok(entries) = fs::read_dir(format!("/sys/class/net/{}/queues", self.name)) else {
            return 0;
        };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"))
            .count() as u32
    }

    /// It exists, is up and has a carrier.
    pub(super) fn link_up(&self) -> bool {
        let Ok(mut request) = self.request_by_index() else {
            return false;
        };
        if self.ioctl(libc::SIOCGIFFLAGS, &mut request).is_err() {
            return false;
        }
        // SAFETY: the last request filled in the flags.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        flags & (libc::IFF_UP | libc::IFF_RUNNING) == libc::IFF_UP | libc::IFF_RUNNING
    }
}
