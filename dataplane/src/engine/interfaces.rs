//! Opens Linux interfaces for the programmer: ports of workloads, and uplinks.

use std::{net::IpAddr, sync::Arc};

use crate::{
    packet::FramePool,
    port::af_xdp::{self, AfXdp, AttachMode, OpenError, OpenPort, RingSizes, UplinkControl},
    program::{
        Attached, Hold, Opened, OpenedUplink, Opener,
        object::{Mode, PortSpec},
        problem::Refusal,
    },
    wire::Mac,
};

/// Frames that ports leave free, for packets between receiving and having been sent.
const FRAMES_IN_FLIGHT: usize = 512;

/// An uplink to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkSettings {
    /// Linux interface.
    pub interface: String,
    /// How to attach.
    pub mode: Mode,
    /// Tunnel addresses with prefix length, at most one of each family over all uplinks.
    pub vteps: Vec<(IpAddr, u8)>,
    /// Routers towards other subnets of the underlay.
    pub gateways: Vec<IpAddr>,
    /// Ring sizes of each queue.
    pub rings: RingSizes,
}

/// Attaches to interfaces of the process's network namespace.
#[derive(Debug)]
pub struct Interfaces {
    pool: Arc<FramePool>,
    af_xdp: Arc<AfXdp>,
    rings: RingSizes,
}

impl Interfaces {
    /// Registers packet memory with the kernel. `rings` are those of workloads' ports.
    ///
    /// # Errors
    /// What the kernel lacks or refuses.
    pub fn new(pool: &Arc<FramePool>, rings: RingSizes) -> Result<Self, OpenError> {
        Ok(Self {
            pool: pool.clone(),
            af_xdp: Arc::new(AfXdp::new(pool.clone())?),
            rings,
        })
    }

    /// Opens an uplink, and what tells of its neighbours.
    ///
    /// # Errors
    /// What is in the way.
    pub fn open_uplink(&self, settings: &UplinkSettings) -> Result<(OpenedUplink, Option<UplinkControl>), OpenError> {
        let vteps: Vec<_> = settings.vteps.iter().map(|(address, _)| *address).collect();
        let mode = af_xdp_mode(settings.mode);
        let mut port = self
            .af_xdp
            .open_uplink(&settings.interface, mode, &vteps, settings.rings)?;
        let control = port.control.take();
        let uplink = OpenedUplink {
            name: settings.interface.as_str().into(),
            addresses: settings.vteps.clone(),
            gateways: settings.gateways.clone(),
            // Where the host has the address too, both answer, and with the same MAC: that of the interface.
            answer: true,
            opened: opened(port),
        };
        Ok((uplink, control))
    }
}

impl Interfaces {
    /// A port without frames to receive into would be deaf: rather refuse it, and leave the others theirs.
    fn check_room(&self) -> Result<(), Refusal> {
        let at_first = self.rings.first_fill();
        let (free, wanted) = (self.pool.free(), at_first as usize + FRAMES_IN_FLIGHT);
        if free >= wanted {
            return Ok(());
        }
        let total = self.pool.total();
        let message = format!(
            "{free} of {total} frames are free, and one more port wants {at_first}, with {FRAMES_IN_FLIGHT} left over for packets \
             on their way: start vrouterd with more --frames or smaller --access-rings"
        );
        Err(Refusal::exhausted("port", message))
    }
}

impl Opener for Interfaces {
    fn open(&mut self, spec: &PortSpec) -> Result<Opened, Refusal> {
        if spec.mode == Mode::Memory {
            return Err(Refusal::refused(
                "port.mode",
                "a memory port has its other end in the same process: not in a daemon",
            ));
        }
        self.check_room()?;
        let port = self
            .af_xdp
            .open_access(&spec.interface, af_xdp_mode(spec.mode), self.rings);
        port.map(opened)
            .map_err(|error| Refusal::refused("port.interface", explain(&error)))
    }
}

impl Hold for OpenPort {
    fn change_owned(&mut self, added: &[IpAddr], removed: &[IpAddr]) -> Result<(), Refusal> {
        self.change_owned(added, removed)
            .map_err(|error| Refusal::refused("address", explain(&error)))
    }
}

/// An error with all that caused it, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

fn opened(mut port: OpenPort) -> Opened {
    let attachment = &port.attachment;
    let mode = match (attachment.mode, attachment.zero_copy) {
        (AttachMode::Generic, _) => Mode::Generic,
        (AttachMode::Packet, _) => Mode::Packet,
        (_, true) => Mode::NativeZeroCopy,
        (_, false) => Mode::NativeCopy,
    };
    let (mtu, mac) = (u16::try_from(attachment.mtu).unwrap_or(u16::MAX), Mac(attachment.mac));
    let attachment = Attached {
        mode,
        why: attachment.why.as_str().into(),
    };
    Opened {
        queues: std::mem::take(&mut port.queues),
        mtu,
        mac,
        attachment,
        hold: Box::new(port),
    }
}

fn af_xdp_mode(mode: Mode) -> af_xdp::Mode {
    match mode {
        Mode::NativeZeroCopy => af_xdp::Mode::NativeZeroCopy,
        Mode::NativeCopy => af_xdp::Mode::Native,
        Mode::Generic => af_xdp::Mode::Generic,
        Mode::Packet => af_xdp::Mode::Packet,
        Mode::Auto | Mode::Memory => af_xdp::Mode::Auto,
    }
}
