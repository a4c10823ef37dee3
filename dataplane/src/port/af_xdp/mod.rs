//! Linux interfaces as ports, by AF_XDP.
//!
//! [`AfXdp`] registers a pool of frames with the kernel once; sockets of all interfaces share it, so a frame goes from port to
//! port without a copy in userspace. There are two ways to open an interface:
//!
//! - as an access port, which belongs to vrouter alone: every frame goes to its socket, and while there is none, nothing passes;
//! - as an uplink, shared with the host: tunnel packets to our endpoints go to the socket, and so does all that is sent to
//!   addresses that are ours alone; ARP and neighbour discovery are copied to the router by [`UplinkControl`]; and everything
//!   stays with the host that is not ours.
//!
//! Either ends with its [`OpenPort`]: programs are attached by BPF links, which the kernel takes down with the process.
//!
//! This room stands on libxdp-sys and not on xsk-rs: that one hides the addresses of descriptors, and encapsulation in place
//! has to move a frame's start. What is in the frames is none of this room's business, except to the steering program.
//!
//! Unsafe code is in `ring` (shared memory), `ledger` (who owns a chunk), `umem`, `socket`, `packet_socket`, `whole`, `behind`, `interface`, `features`, `multicast`,
//! `link` and `refusal` (system calls); all else is built on what these say in safe terms.
//!
//! What it takes: CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; CAP_IPC_LOCK or a limit of locked memory that holds the pool; Linux 5.18.
//! With CAP_SYS_ADMIN several processes can share a network namespace (see `umem`), and programs in the way have names.
//!
//! What a queue costs: the kernel keeps about 128 bytes for every frame of the pool, for each queue of each interface (Linux 6.18;
//! `xp_create_and_assign_umem`). A hundred ports over 65,536 frames are 800 MiB that no tool shows as ours: make pools no
//! larger than needed.
//!
//! Of an uplink whose driver copies packets for XDP anyway (a veth), packets are taken behind the kernel's receive offload instead (`behind`,
//! `joined`), where tunnel packets of one flow come as one. What is sent to other nodes goes so, too, where several packets are alike (`alike`).
//!
//! A word on veth: native XDP at the host's end makes the container send segments of the MTU's size, so whoever wants few and large
//! ones gives both ends a large MTU. What is larger than a chunk is received in parts, put together in a large frame (`gather`),
//! and sent by a packet socket (`whole`). A container's packets come with
//! checksums that are summed over the pseudo header only, and AF_XDP does not say so. An 802.1Q tag that the container's
//! stack leaves to the device ("tx-vlan-offload") never reaches an XDP program; switch that off in the container to send tags.

mod alike;
mod attempt;
mod behind;
mod error;
mod features;
mod gather;
mod interface;
mod joined;
mod ledger;
mod link;
mod mode;
mod multicast;
mod owned;
mod packet_socket;
mod program;
mod queue;
mod refusal;
mod ring;
mod socket;
mod umem;
mod whole;

use std::{fmt, net::IpAddr, sync::Arc};

use attempt::{Attempt, Opened, check_vacant};
pub use error::OpenError;
use features::Joining;
use interface::Interface;
use link::{Link, XdpState};
pub use mode::{AttachMode, Attachment, Mode, RingSizes, UnknownMode};
use multicast::Multicast;
use owned::Owned;
pub use program::UplinkControl;
use program::{Kind, Program};
use queue::XdpQueue;
use umem::Umem;
use whole::WholeSender;

use super::Queue;
use crate::packet::FramePool;

/// Bytes of a frame that are not counted in the MTU: an Ethernet header with one VLAN tag.
const LINK_HEADER: u32 = 18;

/// A pool of frames, registered with the kernel.
#[derive(Debug)]
pub struct AfXdp {
    umem: Umem,
}

/// An interface that is open. Dropping it lets the interface go; the queues must be closed by whoever has them.
pub struct OpenPort {
    /// How it was opened.
    pub attachment: Attachment,
    /// Its queues, to be taken out and given to workers. The kernel receives into them from the start.
    pub queues: Vec<Box<dyn Queue>>,
    /// What neighbours say, on an uplink.
    pub control: Option<UplinkControl>,
    link: Link,
    /// On an uplink.
    steering: Option<Steering>,
    interface: Interface,
    /// What was switched on to receive behind it; off again when this is dropped.
    _joining: Option<Joining>,
}

/// What decides who gets what on an uplink.
#[derive(Debug)]
struct Steering {
    program: Program,
    /// Addresses of which everything is ours.
    owned: Owned,
    multicast: Multicast,
}

impl fmt::Debug for OpenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenPort")
            .field("attachment", &self.attachment)
            .field("link", &self.link)
            .field("steering", &self.steering)
            .finish_non_exhaustive()
    }
}

impl OpenPort {
    /// Changes the addresses whose tunnel packets go to the sockets of an uplink, while traffic runs.
    ///
    /// # Errors
    /// [`OpenError::NotAnUplink`], [`OpenError::TooManyVteps`], or what the kernel says.
    pub fn set_vteps(&mut self, vteps: &[IpAddr]) -> Result<(), OpenError> {
        match &mut self.steering {
            None => Err(OpenError::NotAnUplink),
            Some(steering) => steering.program.set_vteps(vteps),
        }
    }

    /// Changes the addresses of which every untagged packet goes to the sockets of an uplink, whatever it is, while traffic runs: adds
    /// some, then takes others away. The host sees nothing of what is sent to them. While there are IPv6 addresses among
    /// them, the interface lets all multicast in, so that it hears others ask for them.
    ///
    /// # Errors
    /// [`OpenError::NotAnUplink`], or what the kernel says; no address has been added then.
    pub fn change_owned(&mut self, added: &[IpAddr], removed: &[IpAddr]) -> Result<(), OpenError> {
        let Some(steering) = &mut self.steering else {
            return Err(OpenError::NotAnUplink);
        };
        let failed = |e| OpenError::from_call("let all multicast in", &self.attachment.name, e);
        if added.iter().any(IpAddr::is_ipv6) {
            steering.multicast.want_all(true).map_err(failed)?;
        }
        let changed = steering.owned.change(&steering.program, added, removed);
        if !steering.owned.has_v6() {
            steering.multicast.want_all(false).map_err(failed)?;
        }
        changed
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

/// An interface that is about to be opened.
struct Way<'a> {
    umem: &'a Umem,
    interface: &'a Interface,
    driver: &'a str,
    state: &'a XdpState,
    sizes: RingSizes,
    vteps: &'a [IpAddr],
}

impl<'a> Way<'a> {
    /// With this program, for so many queues.
    fn attempt<'p>(&self, program: &'p Program, queues: u32, notes: Vec<String>) -> Attempt<'p>
    where
        'a: 'p,
    {
        Attempt {
            umem: self.umem,
            interface: self.interface,
            driver: self.driver,
            state: self.state,
            program,
            queues,
            sizes: self.sizes,
            notes,
        }
    }

    /// The driver runs XDP on copies of its packets, one by one, which takes longer than all that is saved by it. Its end of a wire that carries
    /// whole frames would have them cut, too.
    fn copies_for_xdp(&self) -> bool {
        self.driver == "veth" && !self.state.has_zero_copy() && self.interface.receive_queues() == 1
    }
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

        let driver = interface.driver();
        let way = Way {
            umem: &self.umem,
            interface: &interface,
            driver: &driver,
            state: &state,
            sizes,
            vteps,
        };
        let (program, opened) = self.attach(&way, mode, kind)?;

        let mut frames = self.umem.pool().cache();
        let mut boxes: Vec<Box<dyn Queue>> = Vec::with_capacity(opened.sockets.len());
        let slots = program.slots()?;
        let queues = opened.sockets.len() as u32;
        let (mut behind, joining) = opened.behind.unzip();
        for (number, socket) in opened.sockets.into_iter().enumerate() {
            let whole = (self.whole_sender(&interface, kind)?, kind == Kind::Steer);
            let least = match kind {
                Kind::Access => sizes.first_fill(),
                Kind::Steer | Kind::Behind => sizes.fill,
            };
            let mut queue = XdpQueue::new(socket, (least, sizes.fill), whole, behind.take(), &mut frames);
            queue.start(slots.clone(), number as u32)?;
            boxes.push(Box::new(queue));
        }
        let (control, steering) = match kind {
            // The attached program lives on in the kernel without our hold on its parts.
            Kind::Access => (None, None),
            Kind::Steer | Kind::Behind => {
                let multicast = Multicast::new(interface.index);
                let multicast = multicast.map_err(|e| OpenError::from_call("open a packet socket", name, e))?;
                let steering = Steering {
                    owned: Owned::default(),
                    multicast,
                    program,
                };
                (Some(steering.program.control()?), Some(steering))
            }
        };
        Ok(OpenPort {
            attachment: Attachment {
                name: name.into(),
                ifindex: interface.index,
                driver,
                mac: interface.mac,
                mtu,
                mode: opened.mode,
                zero_copy: opened.zero_copy,
                queues,
                why: opened.why,
            },
            queues: boxes,
            control,
            link: opened.link,
            steering,
            interface,
            _joining: joining,
        })
    }

    /// Attaches what decides who gets what, and opens the sockets.
    fn attach(&self, way: &Way<'_>, mode: Mode, kind: Kind) -> Result<(Program, Opened), OpenError> {
        let mut notes = Vec::new();
        if mode == Mode::Packet || (mode == Mode::Auto && kind == Kind::Steer && way.copies_for_xdp()) {
            if kind == Kind::Access {
                return Err(OpenError::Refused {
                    name: way.interface.name.clone(),
                    driver: way.driver.into(),
                    mode,
                    why: "a workload's port belongs to vrouter alone, and packet sockets leave packets to the host"
                        .into(),
                });
            }
            let loaded = Program::load(Kind::Behind, 1).and_then(|mut program| {
                program.set_vteps(way.vteps)?;
                Ok(program)
            });
            match loaded {
                Ok(program) => {
                    let mut attempt = way.attempt(&program, 1, notes);
                    if let Some(opened) = attempt.run_behind()? {
                        return Ok((program, opened));
                    }
                    if mode == Mode::Packet {
                        return Err(attempt.refused(mode));
                    }
                    notes = attempt.notes;
                }
                Err(error) if mode == Mode::Packet => return Err(error),
                Err(error) => notes.push(format!("no packet sockets: {error}")),
            }
        }
        let queues = way.interface.receive_queues();
        let mut program = Program::load(kind, queues)?;
        program.set_vteps(way.vteps)?;
        let opened = way.attempt(&program, queues, notes).run(mode)?;
        Ok((program, opened))
    }

    /// What sends packets larger than a chunk, if there can be any.
    fn whole_sender(&self, interface: &Interface, kind: Kind) -> Result<Option<WholeSender>, OpenError> {
        if !self.umem.takes_large() {
            return Ok(None);
        }
        let sender = WholeSender::new(interface.index, kind == Kind::Steer);
        sender
            .map(Some)
            .map_err(|e| OpenError::from_call("open a packet socket", &interface.name, e))
    }

    /// Largest MTU of an interface whose frames can be received.
    pub fn max_mtu(&self) -> u32 {
        let pool = self.umem.pool();
        let max = if self.umem.takes_large() {
            pool.max_large_packet().min(usize::from(u16::MAX))
        } else {
            pool.max_packet()
        };
        max as u32 - LINK_HEADER
    }

    fn check_mtu(&self, name: &str, mtu: u32) -> Result<(), OpenError> {
        let (chunk, max_mtu) = (self.umem.pool().chunk(), self.max_mtu());
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
