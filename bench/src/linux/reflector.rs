//! Frames from one interface to another, or back out of the same, with as little as can be done: one memory for all sockets,
//! descriptors moved from a receive ring to a transmit ring, and from there back to the fill ring that they came from.
#![allow(unsafe_code)]

use std::{fmt, io, os::fd::AsRawFd};

use vrouter_dataplane::wire::eth;
use xsk_rs::{FrameDesc, Umem};

use super::{
    Homed, Interface, OpenError, XdpMode,
    inlet::in_mode,
    namespace::within,
    socket::{BATCH, Bound, FRAMES, Flags, MAX_FRAME, bind, dropped, frames, kick, longest, sleep},
};
use crate::reflect::{ReflectPlan, Shuttle, Side, WayCount};

/// A socket on one queue of an interface.
struct Station {
    interface: String,
    queue: u32,
    rings: Homed<Bound>,
}

/// One direction, between two stations (or one and itself).
struct Way {
    from: usize,
    to: usize,
    packets: u64,
    bytes: u64,
}

/// Moves frames between interfaces.
pub struct Reflector {
    umem: Umem,
    stations: Vec<Station>,
    /// Way `n` owns the `n`th part of the frames: as many as the rings of its receiving station can hold.
    ways: Vec<Way>,
    /// Bytes of such a part.
    part: usize,
    scratch: Vec<FrameDesc>,
    polls: Vec<libc::pollfd>,
    swap_macs: bool,
    busy: bool,
    mode: XdpMode,
}

impl fmt::Debug for Reflector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reflector")
            .field("ways", &self.ways.len())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The queues of an interface to open: all, or one.
fn queues(interface: &Interface, only: Option<u32>) -> Vec<u32> {
    only.map_or_else(|| (0..interface.queues).collect(), |queue| vec![queue])
}

impl Reflector {
    /// Opens the interfaces of a plan.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(plan: &ReflectPlan, mode: XdpMode, busy: bool) -> Result<Self, OpenError> {
        let find = |side: &Side| within(side.netns.as_deref(), || Interface::find(&side.interface));
        let from = find(&plan.from)?;
        let to = plan
            .to
            .as_ref()
            .map(|side| Ok::<_, OpenError>((side, find(side)?)))
            .transpose()?;
        if from.mtu + eth::HEADER_LEN > MAX_FRAME {
            return Err(OpenError::TooLong {
                frame: from.mtu + eth::HEADER_LEN,
                most: MAX_FRAME,
            });
        }
        if let Some((_, to)) = &to
            && (from.mtu > to.mtu || plan.both && from.mtu != to.mtu)
        {
            return Err(OpenError::Mtus {
                from: from.name.clone(),
                from_mtu: from.mtu,
                to: to.name.clone(),
                to_mtu: to.mtu,
            });
        }
        let to = to.as_ref().map(|(side, interface)| (*side, &**interface));
        let (mut reflector, mode) = in_mode(mode, |mode| Self::try_open(plan, &from, to, mode, busy))?;
        reflector.mode = mode;
        Ok(reflector)
    }

    fn try_open(
        plan: &ReflectPlan,
        from: &Interface,
        to: Option<(&Side, &Interface)>,
        mode: XdpMode,
        busy: bool,
    ) -> Result<Self, OpenError> {
        let inbound = queues(from, plan.queue);
        let mut outbound = to.map_or_else(Vec::new, |(_, to)| queues(to, plan.queue));
        if !plan.both {
            // More could not be used.
            outbound.truncate(inbound.len());
        }
        let ways = ways(inbound.len(), outbound.len(), plan.both);
        let times = u32::try_from(ways.len()).unwrap_or(u32::MAX);

        let mut stations = Vec::new();
        let mut stand = |netns: Option<&str>, interface: &Interface, umem: &Umem, queue, flags: &Flags| {
            let rings = within(netns, || bind(interface, queue, umem, flags))?;
            let interface = interface.name.clone();
            stations.push(Station {
                interface,
                queue,
                rings,
            });
            Ok::<_, OpenError>(())
        };
        // The first socket is made along with the memory, so the memory must be made where that socket is to be.
        let netns = plan.from.netns.as_deref();
        let memory = within(netns, || frames(longest(from.mtu), times))?;
        let (umem, free) = &*memory;
        for queue in &inbound {
            stand(netns, from, umem, *queue, &mode.flags())?;
        }
        let flags = if plan.both { mode.flags() } else { Flags::send_only() };
        if let Some((side, to)) = to {
            for queue in &outbound {
                stand(side.netns.as_deref(), to, umem, *queue, &flags)?;
            }
        }

        for (way, free) in ways.iter().zip(free.chunks(FRAMES as usize)) {
            if let Some(station) = stations.get_mut(way.from) {
                // SAFETY: frames of the one umem, new, and given away once: the parts do not overlap.
                unsafe { station.rings.fill.produce(free) };
            }
        }
        let chunk = match free.as_slice() {
            [first, second, ..] => second.addr() - first.addr(),
            _ => 1,
        };
        let polls = ways
            .iter()
            .filter_map(|way| stations.get(way.from))
            .map(|station| libc::pollfd {
                fd: station.rings.rx.fd().as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            });
        Ok(Self {
            polls: polls.collect(),
            umem: umem.clone(),
            stations,
            ways,
            part: chunk * FRAMES as usize,
            scratch: vec![FrameDesc::default(); BATCH],
            swap_macs: plan.swap_macs,
            busy,
            mode,
        })
    }

    /// The mode in use; never [`XdpMode::Auto`].
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Gives the frames that a station has sent back to where they are received into.
    fn reclaim(&mut self, station: usize) {
        let Some(Station { rings, .. }) = self.stations.get_mut(station) else {
            return;
        };
        // SAFETY: the descriptors of `scratch` are free to be overwritten; all frames are of the one umem.
        let count = unsafe { rings.completion.consume(&mut self.scratch) };
        let part = self.part;
        let done = self.scratch.get(..count).unwrap_or_default();
        for run in done.chunk_by(|a, b| a.addr() / part == b.addr() / part) {
            let way = run.first().and_then(|desc| self.ways.get(desc.addr() / part));
            if let Some(home) = way.and_then(|way| self.stations.get_mut(way.from)) {
                // SAFETY: the kernel has sent these frames and nobody else has them; the ring can hold all of this way.
                unsafe { home.rings.fill.produce(run) };
            }
        }
    }

    /// Moves one batch along a way.
    fn step(&mut self, number: usize) -> io::Result<usize> {
        let Some(&Way { from, to, .. }) = self.ways.get(number) else {
            return Ok(0);
        };
        let room = self
            .stations
            .get_mut(to)
            .map_or(0, |to| to.rings.tx.nb_free(BATCH as u32));
        let room = (room as usize).min(BATCH);
        let (Some(station), Some(space)) = (self.stations.get_mut(from), self.scratch.get_mut(..room)) else {
            return Ok(0);
        };
        // SAFETY: the descriptors of `scratch` are free to be overwritten.
        let count = unsafe { station.rings.rx.consume(space) };
        let batch = self.scratch.get_mut(..count).unwrap_or_default();
        if batch.is_empty() {
            return Ok(0);
        }
        if self.swap_macs {
            for desc in batch.iter_mut() {
                // SAFETY: the frame came from the receive ring: it is ours until it goes to the transmit ring below.
                swap(unsafe { self.umem.data_mut(desc) }.contents_mut());
            }
        }
        let bytes: usize = batch.iter().map(|desc| desc.lengths().data()).sum();
        if let Some(to) = self.stations.get_mut(to) {
            // SAFETY: as above. There is room: it was counted, and nobody else fills this ring.
            unsafe { to.rings.tx.produce(batch) };
            kick(&mut to.rings.tx)?;
        }
        if let Some(way) = self.ways.get_mut(number) {
            way.packets += count as u64;
            way.bytes += bytes as u64;
        }
        Ok(count)
    }
}

/// Which station sends on what another receives: those of the first interface come first.
fn ways(inbound: usize, outbound: usize, both: bool) -> Vec<Way> {
    let way = |from, to| Way {
        from,
        to,
        packets: 0,
        bytes: 0,
    };
    if outbound == 0 {
        return (0..inbound).map(|n| way(n, n)).collect();
    }
    let there = (0..inbound).map(|n| way(n, inbound + n % outbound));
    let back = (0..outbound).map(|n| way(inbound + n, n % inbound.max(1)));
    there.chain(back.filter(|_| both)).collect()
}

/// Swaps the Ethernet addresses of a frame.
fn swap(frame: &mut [u8]) {
    if let Some((dst, src)) = frame.get_mut(..12).and_then(|macs| macs.split_at_mut_checked(6)) {
        dst.swap_with_slice(src);
    }
}

impl Shuttle for Reflector {
    fn shuttle(&mut self) -> io::Result<usize> {
        for station in 0..self.stations.len() {
            self.reclaim(station);
        }
        let mut count = 0;
        for way in 0..self.ways.len() {
            count += self.step(way)?;
        }
        if count == 0 {
            for station in &mut self.stations {
                // What the kernel was too busy to send before.
                kick(&mut station.rings.tx)?;
            }
            if !self.busy {
                sleep(&mut self.polls)?;
            }
        }
        Ok(count)
    }

    fn ways(&self) -> Vec<WayCount> {
        let name = |station: usize| {
            let station = self.stations.get(station);
            station.map_or_else(Default::default, |station| (station.interface.clone(), station.queue))
        };
        let dropped = |way: &Way| {
            self.stations
                .get(way.from)
                .map_or(0, |station| dropped(&station.rings.rx))
        };
        let count = |way: &Way| WayCount {
            from: name(way.from),
            to: name(way.to),
            packets: way.packets,
            bytes: way.bytes,
            dropped_by_kernel: dropped(way),
        };
        self.ways.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(inbound: usize, outbound: usize, both: bool) -> Vec<(usize, usize)> {
        ways(inbound, outbound, both)
            .iter()
            .map(|way| (way.from, way.to))
            .collect()
    }

    #[test]
    fn every_receiving_queue_has_one_way_on() {
        assert_eq!(pairs(1, 1, false), [(0, 1)]);
        assert_eq!(pairs(1, 1, true), [(0, 1), (1, 0)]);
        assert_eq!(pairs(2, 0, false), [(0, 0), (1, 1)], "back where it came from");
        assert_eq!(pairs(3, 2, false), [(0, 3), (1, 4), (2, 3)]);
        assert_eq!(pairs(1, 3, true), [(0, 1), (1, 0), (2, 0), (3, 0)]);
    }

    #[test]
    fn addresses_are_swapped_and_short_frames_left_alone() {
        let mut frame: Vec<u8> = (0..14).collect();
        swap(&mut frame);
        assert_eq!(frame, [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13]);
        let mut short = [1, 2, 3];
        swap(&mut short);
        assert_eq!(short, [1, 2, 3]);
    }
}
