//! Linux interfaces as ports, by AF_XDP.
//!
//! [`AfXdp`] registers a pool of frames with the kernel once; sockets of all interfaces share it, so a frame goes from port to
//! port without a copy in userspace. There are two ways to open an interface:
//!
//! - as an access port, which belongs to vrouter alone: every frame goes to its socket, and while there is none, nothing passes;
//! - as an uplink, shared with the host: tunnel packets to our endpoints go to the socket, ARP and neighbour discovery are
//!   copied to the router by [`UplinkControl`], and everything stays with the host that is not ours.
//!
//! Either ends with its [`OpenPort`]: programs are attached by BPF links, which the kernel takes down with the process.
//!
//! This room stands on libxdp-sys and not on xsk-rs: that one hides the addresses of descriptors, and encapsulation in place
//! has to move a frame's start. What is in the frames is none of this room's business, except to the steering program.
//!
//! Unsafe code is in `ring` (shared memory), `socket`, `interface`, `link` and `refusal` (system calls) and `umem` (whose
//! ledger decides who owns a chunk); all else is built on what these say in safe terms.
//!
//! A word on veth: native XDP at the host's end makes the container send segments of the MTU's size. Its packets come with
//! checksums that are summed over the pseudo header only, and AF_XDP does not say so. An 802.1Q tag that the container's
//! stack leaves to the device ("tx-vlan-offload") never reaches an XDP program; switch that off in the container to send tags.

mod error;
mod interface;
mod link;
mod mode;
mod program;
mod queue;
mod refusal;
mod ring;
mod socket;
mod umem;

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    thread,
    time::Duration,
};

pub use error::OpenError;
use interface::Interface;
use link::XdpState;
pub use mode::{AttachMode, Attachment, Mode, RingSizes, UnknownMode};
pub use program::UplinkControl;
use program::{Kind, NAME_PREFIX, Program, Slot};
use queue::XdpQueue;
use socket::{Bind, Socket};
use umem::Umem;

use super::Queue;
use crate::packet::{FramePool, frame::HEADROOM};

/// Bytes of a frame that are not counted in the MTU: an Ethernet header with one VLAN tag.
const LINK_HEADER: u32 = 18;

/// How long opening waits for a busy queue, and how long before it looks again.
const BUSY_PATIENCE: Duration = Duration::from_millis(500);
const BUSY_STEP: Duration = Duration::from_millis(5);

/// A pool of frames, registered with the kernel.
#[derive(Debug)]
pub struct AfXdp {
    umem: Umem,
}

/// An interface that is open. Dropping it lets the interface go; the queues must be closed by whoever has them.
#[derive(Debug)]
pub struct OpenPort {
    /// How it was opened.
    pub attachment: Attachment,
    /// Its queues, to be taken out and given to workers. The kernel receives into them from the start.
    pub queues: Vec<Box<dyn Queue>>,
    /// What neighbours say, on an uplink.
    pub control: Option<UplinkControl>,
    program: Program,
    interface: Interface,
    kind: Kind,
}

impl std::fmt::Debug for dyn Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl OpenPort {
    /// Changes the addresses whose tunnel packets go to the sockets of an uplink, while traffic runs.
    ///
    /// # Errors
    /// [`OpenError::NotAnUplink`], [`OpenError::TooManyVteps`], or what the kernel says.
    pub fn set_vteps(&mut self, vteps: &[IpAddr]) -> Result<(), OpenError> {
        match self.kind {
            Kind::Access => Err(OpenError::NotAnUplink),
            Kind::Steer => self.program.set_vteps(vteps),
        }
    }

    /// The interface still exists, is up and has a carrier.
    pub fn link_up(&self) -> bool {
        self.interface.link_up()
    }

    /// The interface's MTU now, bytes. `None` when it is gone.
    pub fn mtu(&self) -> Option<u32> {
        self.interface.mtu().ok()
    }
}

/// Sockets of all queues, and whether without a copy.
struct Sockets {
    sockets: Vec<Socket>,
    zero_copy: bool,
}

impl AfXdp {
    /// Registers the pool with the kernel.
    ///
    /// # Errors
    /// [`OpenError`] when the kernel is too old, permissions are missing or the memory cannot be locked.
    pub fn new(pool: Arc<FramePool>) -> Result<Self, OpenError> {
        let release = error::kernel_release();
        if error::version(&release).is_some_and(|version| version < (5, 18)) {
            return Err(OpenError::Kernel {
                release,
                feature: "loading of packet bytes in XDP programs",
            });
        }
        Ok(Self { umem: Umem::new(pool)? })
    }

    /// Opens an interface of the thread's network namespace that belongs to vrouter alone. May take some tens of
    /// milliseconds: not for workers.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way.
    pub fn open_access(&self, interface: &str, mode: Mode, sizes: RingSizes) -> Result<OpenPort, OpenError> {
        self.open(interface, mode, sizes, Kind::Access, &[])
    }

    /// Opens an interface that vrouter shares with the host: it gets the tunnel packets to the addresses of `vteps`.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way.
    pub fn open_uplink(
        &self,
        interface: &str,
        mode: Mode,
        vteps: &[IpAddr],
        sizes: RingSizes,
    ) -> Result<OpenPort, OpenError> {
        self.open(interface, mode, sizes, Kind::Steer, vteps)
    }

    fn open(
        &self,
        name: &str,
        mode: Mode,
        sizes: RingSizes,
        kind: Kind,
        vteps: &[IpAddr],
    ) -> Result<OpenPort, OpenError> {
        sizes.check()?;
        let interface = Interface::find(name)?;
        let mtu = interface.mtu()?;
        self.check_mtu(name, mtu)?;
        let state = XdpState::query(interface.index, name)?;
        check_vacant(name, &state)?;

        let queues = interface.receive_queues();
        let mut program = Program::load(kind, queues)?;
        program.set_vteps(vteps)?;
        let driver = interface.driver();
        let mut attempt = Attempt {
            afxdp: self,
            interface: &interface,
            driver: &driver,
            state: &state,
            queues,
            sizes,
            notes: Vec::new(),
        };
        let (attach_mode, opened) = attempt.run(&mut program, mode)?;
        let why = attempt.why(attach_mode, opened.zero_copy);

        let mut frames = self.umem.pool().cache();
        let mut boxes: Vec<Box<dyn Queue>> = Vec::with_capacity(opened.sockets.len());
        let slots = program.slots()?;
        for (number, socket) in opened.sockets.into_iter().enumerate() {
            let slot = Slot::set(slots.clone(), number as u32, socket.raw_fd())?;
            boxes.push(Box::new(XdpQueue::new(slot, socket, sizes.fill, &mut frames)));
        }
        let control = match kind {
            Kind::Access => None,
            Kind::Steer => Some(program.control()?),
        };
        Ok(OpenPort {
            attachment: Attachment {
                name: name.into(),
                ifindex: interface.index,
                driver,
                mac: interface.mac,
                mtu,
                mode: attach_mode,
                zero_copy: opened.zero_copy,
                queues,
                why,
            },
            queues: boxes,
            control,
            program,
            interface,
            kind,
        })
    }

    fn check_mtu(&self, name: &str, mtu: u32) -> Result<(), OpenError> {
        let chunk = self.umem.pool().chunk();
        let max_mtu = u32::from(chunk - HEADROOM) - LINK_HEADER;
        if mtu > max_mtu {
            return Err(OpenError::MtuTooLarge {
                name: name.into(),
                mtu,
                chunk,
                max_mtu,
            });
        }
        Ok(())
    }
}

fn check_vacant(name: &str, state: &XdpState) -> Result<(), OpenError> {
    let Some((id, program, mode)) = state.attached.clone() else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(if program.starts_with(NAME_PREFIX) {
        OpenError::AlreadyOurs {
            name,
            program,
            id,
            mode,
        }
    } else {
        OpenError::Occupied {
            name,
            program,
            id,
            mode,
        }
    })
}

/// Tries one way after the other to attach and to bind, and notes why it went on to the next.
struct Attempt<'a> {
    afxdp: &'a AfXdp,
    interface: &'a Interface,
    driver: &'a str,
    state: &'a XdpState,
    queues: u32,
    sizes: RingSizes,
    notes: Vec<String>,
}

impl Attempt<'_> {
    fn run(&mut self, program: &mut Program, mode: Mode) -> Result<(AttachMode, Sockets), OpenError> {
        if mode != Mode::Generic && self.attach(program, AttachMode::Native)? {
            if mode == Mode::NativeZeroCopy || (mode == Mode::Auto && self.claims_zero_copy()) {
                match self.bind(true) {
                    Ok(sockets) => return Ok((AttachMode::Native, sockets)),
                    Err(e @ (OpenError::QueueBusy { .. } | OpenError::Permission { .. })) => return Err(e),
                    Err(OpenError::System { source, .. }) if source.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                        self.notes.push(format!("driver {} has no zero-copy", self.driver));
                    }
                    Err(e) => self.notes.push(format!("no zero-copy: {e}")),
                }
            }
            if mode != Mode::NativeZeroCopy {
                return Ok((AttachMode::Native, self.bind(false)?));
            }
            program.detach();
        }
        if matches!(mode, Mode::Auto | Mode::Generic) && self.attach(program, AttachMode::Generic)? {
            return Ok((AttachMode::Generic, self.bind(false)?));
        }
        Err(OpenError::Refused {
            name: self.interface.name.clone(),
            driver: self.driver.into(),
            mode,
            why: self.notes.join("; "),
        })
    }

    fn claims_zero_copy(&mut self) -> bool {
        let claims = self.state.has_zero_copy();
        if !claims {
            self.notes.push(format!("driver {} has no zero-copy", self.driver));
        }
        claims
    }

    /// Attaches; `false` when the driver refuses, with its reason noted.
    fn attach(&mut self, program: &mut Program, mode: AttachMode) -> Result<bool, OpenError> {
        let name = &self.interface.name;
        if mode == AttachMode::Native && self.state.lacks_native() {
            self.notes.push(format!("driver {} runs no XDP programs", self.driver));
            return Ok(false);
        }
        let Err(error) = program.attach(self.interface.index, mode) else {
            return Ok(true);
        };
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENODEV) => {
                Err(OpenError::from_call("attach the XDP program", name, error))
            }
            // Somebody was faster since we looked.
            Some(libc::EBUSY | libc::EEXIST) => {
                check_vacant(name, &XdpState::query(self.interface.index, name)?)?;
                Err(OpenError::from_call("attach the XDP program", name, error))
            }
            _ => {
                let words = program.refusal(self.interface.index, mode);
                let words = words.unwrap_or_else(|| hint(&error));
                self.notes.push(format!("{mode} mode refused: {words}"));
                Ok(false)
            }
        }
    }

    fn bind(&self, zero_copy: bool) -> Result<Sockets, OpenError> {
        let mut sockets: Vec<Socket> = Vec::new();
        for queue in 0..self.queues {
            let socket = self.bind_queue(queue, zero_copy, sockets.first().and_then(Socket::fd))?;
            sockets.push(socket);
        }
        Ok(Sockets { sockets, zero_copy })
    }

    /// The kernel frees a queue some milliseconds after its socket was closed: what is busy now may have been ours.
    fn bind_queue(&self, queue: u32, zero_copy: bool, first: Option<BorrowedFd<'_>>) -> Result<Socket, OpenError> {
        let name = &self.interface.name;
        let mut patience = BUSY_PATIENCE;
        loop {
            let fd = umem::new_socket(name)?;
            let memory = match (zero_copy, first) {
                (false, _) => Bind::Shared(self.afxdp.umem.anchor()),
                (true, Some(first)) => Bind::Shared(first),
                (true, None) => {
                    umem::register(fd.as_fd(), self.afxdp.umem.pool())?;
                    Bind::OwnZeroCopy
                }
            };
            match Socket::open(fd, self.interface.index, queue, memory, zero_copy, &self.sizes) {
                Ok(socket) => return Ok(socket),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && !patience.is_zero() => {
                    thread::sleep(BUSY_STEP);
                    patience = patience.saturating_sub(BUSY_STEP);
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    return Err(OpenError::QueueBusy {
                        name: name.clone(),
                        queue,
                    });
                }
                Err(error) => return Err(OpenError::from_call("bind an AF_XDP socket", name, error)),
            }
        }
    }

    /// The choice in words.
    fn why(&self, mode: AttachMode, zero_copy: bool) -> String {
        let copy = if zero_copy { "zero-copy" } else { "copy" };
        let plural = if self.queues == 1 { "" } else { "s" };
        let mut words = format!("{mode}, {copy}, {} queue{plural}", self.queues);
        for (index, note) in self.notes.iter().enumerate() {
            words += if index == 0 { ": " } else { "; " };
            words += note;
        }
        if mode == AttachMode::Generic {
            words += if self.notes.is_empty() { ": " } else { "; " };
            words +=
                "segments larger than a frame are lost, so the sender's tso, gso and the interface's gro should be off";
        }
        words
    }
}

/// What an errno of attaching usually means, for drivers that say no more.
fn hint(error: &io::Error) -> String {
    let meaning = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "the driver runs no XDP programs",
        Some(libc::ERANGE) => "the MTU is too large for XDP in this driver",
        Some(libc::ENOSPC | libc::ENOMEM) => "too few queues, or no memory for more",
        Some(libc::EINVAL) => "the interface's settings (MTU, LRO, number of queues) do not allow XDP",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
