//! The BPF programs: loading them, giving them sockets and addresses, hearing of neighbours.

use std::{
    collections::HashSet,
    fmt, io, mem,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, RawFd},
    sync::{Arc, Mutex, Once, PoisonError},
};

use libbpf_rs::{
    Map, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenMapMut, PrintLevel, RingBuffer, RingBufferBuilder,
};

use super::{
    AttachMode,
    error::OpenError,
    link::{self, Link},
    refusal,
};

/// The names of all programs start so.
pub(super) const NAME_PREFIX: &str = "vrouter_";

/// The two programs behind receive offloads.
const KEEP: &str = "vrouter_keep";
const TAKE: &str = "vrouter_take";

/// Tunnel endpoints of each IP version that the steering program's tables hold.
const MAX_VTEPS: usize = 256;

/// Aligned, because libbpf reads the object's headers in place.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static ACCESS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/access.bpf.o")));
static BEHIND: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/behind.bpf.o")));
static STEER: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer.bpf.o")));

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything to the socket.
    Access,
    /// Tunnels to the socket, the rest to the host.
    Steer,
    /// The same behind receive offloads: a filter for a packet socket, and what keeps the same from the host.
    Behind,
}

/// A program in the kernel.
pub(super) struct Program {
    object: Object,
    vteps: HashSet<IpAddr>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("vteps", &self.vteps)
            .finish_non_exhaustive()
    }
}

impl Program {
    /// Loads a program with room for the sockets of `queues` receive queues.
    pub(super) fn load(kind: Kind, queues: u32) -> Result<Self, OpenError> {
        static LOG: Once = Once::new();
        LOG.call_once(|| {
            libbpf_rs::set_print(Some((PrintLevel::Info, |level, text| match level {
                PrintLevel::Warn => tracing::warn!(target: "libbpf", "{}", text.trim_end()),
                _ => tracing::debug!(target: "libbpf", "{}", text.trim_end()),
            })));
        });
        let bytes = match kind {
            Kind::Access => &ACCESS.0,
            Kind::Steer => &STEER.0,
            Kind::Behind => &BEHIND.0,
        };
        let failed = |e| OpenError::from_libbpf("load the XDP program", e);
        let mut open = ObjectBuilder::default().open_memory(bytes).map_err(failed)?;
        if let Some(mut sockets) = open.maps_mut().find(|map: &OpenMapMut<'_>| map.name() == "sockets") {
            sockets.set_max_entries(queues).map_err(failed)?;
        }
        Ok(Self {
            object: open.load().map_err(failed)?,
            vteps: HashSet::new(),
        })
    }

    /// A map of the program.
    pub(super) fn map(&self, name: &'static str) -> Result<Map<'_>, OpenError> {
        self.object
            .maps()
            .find(|map| map.name() == name)
            .ok_or_else(|| OpenError::Program {
                doing: "find a map of the XDP program",
                source: io::Error::new(io::ErrorKind::NotFound, name).into(),
            })
    }

    /// Attaches to an interface, for as long as the link lives.
    pub(super) fn attach(&self, ifindex: u32, mode: AttachMode) -> io::Result<Link> {
        let program = self.object.progs().next().ok_or(io::ErrorKind::NotFound)?;
        link::attach(program.as_fd(), ifindex, mode)
    }

    /// Attaches to what comes in by an interface behind receive offloads, for as long as the link lives.
    pub(super) fn attach_behind(&self, ifindex: u32) -> io::Result<Link> {
        self.part(KEEP, |program| link::attach_ingress(program, ifindex))
    }

    /// Shows the filter for a packet socket.
    pub(super) fn filter<T>(&self, to: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        self.part(TAKE, to)
    }

    fn part<T>(&self, name: &'static str, to: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut programs = self.object.progs();
        let program = programs.find(|program| program.name() == name);
        to(program.ok_or(io::ErrorKind::NotFound)?.as_fd())
    }

    /// Why the driver has just refused to attach, in its own words.
    pub(super) fn refusal(&self, ifindex: u32, mode: AttachMode) -> Option<String> {
        refusal::reason(self.object.progs().next()?.as_fd(), ifindex, mode)
    }

    /// The places of the sockets.
    pub(super) fn slots(&self) -> Result<Arc<MapHandle>, OpenError> {
        let map = MapHandle::try_from(&self.map("sockets")?);
        map.map(Arc::new)
            .map_err(|e| OpenError::from_libbpf("find the sockets of the XDP program", e))
    }

    /// Makes these the addresses whose tunnels go to the socket. Additions come first: no address that stays is ever missing.
    pub(super) fn set_vteps(&mut self, vteps: &[IpAddr]) -> Result<(), OpenError> {
        for v4 in [true, false] {
            let count = vteps.iter().filter(|address| address.is_ipv4() == v4).count();
            if count > MAX_VTEPS / 2 {
                // Half, because old and new ones are there together for a moment.
                return Err(OpenError::TooManyVteps {
                    count,
                    max: MAX_VTEPS / 2,
                });
            }
        }
        let wanted: HashSet<_> = vteps.iter().copied().collect();
        for address in wanted.difference(&self.vteps) {
            let failed = |e| OpenError::from_libbpf("tell the XDP program a tunnel endpoint", e);
            let (map, key) = self.vtep_entry(address)?;
            map.update(&key, &[1], MapFlags::ANY).map_err(failed)?;
        }
        for address in self.vteps.difference(&wanted) {
            let (map, key) = self.vtep_entry(address)?;
            match map.delete(&key) {
                Err(e) if e.kind() != libbpf_rs::ErrorKind::NotFound => {
                    return Err(OpenError::from_libbpf("take a tunnel endpoint from the XDP program", e));
                }
                _ => {}
            }
        }
        self.vteps = wanted;
        Ok(())
    }

    fn vtep_entry(&self, address: &IpAddr) -> Result<(Map<'_>, Vec<u8>), OpenError> {
        Ok(match address {
            IpAddr::V4(v4) => (self.map("vteps_v4")?, v4.octets().to_vec()),
            IpAddr::V6(v6) => (self.map("vteps_v6")?, v6.octets().to_vec()),
        })
    }

    /// The ear for neighbours' packets.
    pub(super) fn control(&self) -> Result<UplinkControl, OpenError> {
        let failed = |e| OpenError::from_libbpf("open the ring buffer of neighbour packets", e);
        let map = MapHandle::try_from(&self.map("neighbours")?).map_err(failed)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = heard.clone();
        let mut builder = RingBufferBuilder::new();
        builder
            .add(&map, move |record| {
                hear.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(copied_packet(record));
                0
            })
            .map_err(failed)?;
        let ring = builder.build().map_err(failed)?;
        Ok(UplinkControl { ring, heard, _map: map })
    }
}

/// A queue's place among the sockets to which the program sends. Empty again when this is dropped: no frame is written any
/// more, even while somebody (a child between fork and exec) still holds a copy of the socket's descriptor.
#[derive(Debug)]
pub(super) struct Slot {
    sockets: Arc<MapHandle>,
    queue: u32,
}

impl Slot {
    /// From now on, what comes in by the queue goes to this socket.
    pub(super) fn set(sockets: Arc<MapHandle>, queue: u32, socket: RawFd) -> Result<Self, OpenError> {
        sockets
            .update(&queue.to_ne_bytes(), &socket.to_ne_bytes(), MapFlags::ANY)
            .map_err(|e| OpenError::from_libbpf("give the XDP program its socket", e))?;
        Ok(Self { sockets, queue })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Not there any more when the interface was deleted.
        let _ = self.sockets.delete(&self.queue.to_ne_bytes());
    }
}

/// The packet in a `struct neighbour_copy`.
fn copied_packet(record: &[u8]) -> Option<Vec<u8>> {
    let (length, bytes) = record.split_first_chunk::<4>()?;
    Some(bytes.get(..u32::from_ne_bytes(*length) as usize)?.to_vec())
}

/// Copies of the ARP and neighbour discovery packets that an uplink receives. The host has the packets themselves.
pub struct UplinkControl {
    ring: RingBuffer<'static>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    _map: MapHandle,
}

impl fmt::Debug for UplinkControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UplinkControl").finish_non_exhaustive()
    }
}

impl UplinkControl {
    /// Hands the packets that have come since the last call to `each`, cut after 256 bytes. Does not wait.
    pub fn poll(&mut self, mut each: impl FnMut(&[u8])) {
        // It fails only if a callback does, and ours does not.
        let _ = self.ring.consume();
        let heard = mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.iter().for_each(|packet| each(packet));
    }

    /// A descriptor that polls readable when there are packets.
    pub fn epoll_fd(&self) -> RawFd {
        self.ring.epoll_fd()
    }
}
