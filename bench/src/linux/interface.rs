//! What the kernel says of an interface: address, MTU, number of queues.
#![allow(unsafe_code)]

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use vrouter_dataplane::wire::{Mac, eth};

use super::OpenError;

/// An interface that is up.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its MTU, bytes of IP.
    pub mtu: usize,
    /// Its receive queues.
    pub queues: u32,
}

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct Channels {
    cmd: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

const ETHTOOL_GCHANNELS: u32 = 0x3c;

impl Interface {
    /// Looks an interface up in the network namespace of this thread.
    ///
    /// # Errors
    /// There is no such interface, it is down, or it is not Ethernet.
    pub fn find(name: &str) -> Result<Self, OpenError> {
        let none = || OpenError::NoInterface { name: name.to_owned() };
        let c_name = CString::new(name).map_err(|_| none())?;
        // SAFETY: the name is a C string that lives through the call.
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || unsafe { libc::if_nametoindex(c_name.as_ptr()) } == 0 {
            return Err(none());
        }
        let query = Query::new(name)?;
        // SAFETY: the kernel has filled in the member that each request is for.
        let (flags, family, mac, mtu) = unsafe {
            let flags = query.ask(libc::SIOCGIFFLAGS)?.ifr_ifru.ifru_flags;
            let address = query.ask(libc::SIOCGIFHWADDR)?.ifr_ifru.ifru_hwaddr;
            let mtu = query.ask(libc::SIOCGIFMTU)?.ifr_ifru.ifru_mtu;
            (flags, address.sa_family, address.sa_data, mtu)
        };
        if i32::from(flags) & libc::IFF_UP == 0 {
            return Err(OpenError::Down { name: name.to_owned() });
        }
        if family != libc::ARPHRD_ETHER {
            return Err(OpenError::NotEthernet { name: name.to_owned() });
        }
        let [a, b, c, d, e, f, ..] = mac.map(|byte| byte as u8);
        Ok(Self {
            name: name.to_owned(),
            mac: Mac([a, b, c, d, e, f]),
            mtu: usize::try_from(mtu).unwrap_or(0),
            queues: query.receive_queues(),
        })
    }

    /// Do frames of this length fit?
    ///
    /// # Errors
    /// [`OpenError::Mtu`]: the kernel would drop them silently.
    pub fn check_fits(&self, frame: usize) -> Result<(), OpenError> {
        let most = self.mtu + eth::HEADER_LEN;
        if frame <= most {
            return Ok(());
        }
        Err(OpenError::Mtu {
            name: self.name.clone(),
            frame,
            mtu: self.mtu,
            most,
        })
    }
}

/// A socket to ask about one interface with.
struct Query<'a> {
    socket: OwnedFd,
    name: &'a str,
}

impl<'a> Query<'a> {
    fn new(name: &'a str) -> Result<Self, OpenError> {
        // SAFETY: a plain call; the descriptor is new and ours.
        let socket = unsafe {
            match libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
                -1 => return Err(Self::failed(name, io::Error::last_os_error())),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        Ok(Self { socket, name })
    }

    fn failed(name: &str, source: io::Error) -> OpenError {
        OpenError::Other {
            what: "asking for the properties",
            name: name.to_owned(),
            source,
        }
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: all zeros is an ifreq.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        // `find` made sure that a zero stays behind the name.
        for (into, from) in request.ifr_name.iter_mut().zip(self.name.bytes()) {
            *into = from as libc::c_char;
        }
        request
    }

    fn ask(&self, what: libc::c_ulong) -> Result<libc::ifreq, OpenError> {
        let mut request = self.request();
        // SAFETY: the request lives through the call, and is what these requests take.
        match unsafe { libc::ioctl(self.socket.as_raw_fd(), what as _, &mut request) } {
            -1 => Err(Self::failed(self.name, io::Error::last_os_error())),
            _ => Ok(request),
        }
    }

    /// As the driver says; one if it does not.
    fn receive_queues(&self) -> u32 {
        let mut channels = Channels {
            cmd: ETHTOOL_GCHANNELS,
            ..Channels::default()
        };
        let mut request = self.request();
        request.ifr_ifru.ifru_data = ptr::from_mut(&mut channels).cast();
        // SAFETY: the request and the structure that it points to live through the call.
        let status = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut request) };
        if status < 0 {
            return 1;
        }
        (channels.rx + channels.combined).max(1)
    }
}
