//! What a worker holds of captures.

use std::sync::Arc;

use super::{
    CaptureSet,
    record::{Blame, Point, Record},
};
use crate::{
    packet::{DropReason, Frame},
    tables::slots::{PortSlot, VrfSlot},
    wire::ethertype,
};

/// Bytes of an Ethernet header.
const ETHERNET: u16 = 14;

/// The port and VRF that a packet belongs to, and when it does.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// The port.
    pub port: PortSlot,
    /// The VRF, if known.
    pub vrf: Option<VrfSlot>,
    /// Nanoseconds of the workers' clock.
    pub now: u64,
}

/// What a worker holds of captures.
#[derive(Debug, Default)]
pub struct Taps {
    /// Some capture wants packets that come in or go out.
    passing: bool,
    /// Some capture wants packets that are dropped.
    drops: bool,
    worker: usize,
    set: Option<Arc<CaptureSet>>,
    blame: Option<Blame>,
}

impl Taps {
    /// From now on these captures, of all that there are, get copies from the worker of this number. The set that was there before is given back.
    pub fn set(&mut self, worker: usize, set: Arc<CaptureSet>) -> Option<Arc<CaptureSet>> {
        let any = |wanted: fn(&super::CaptureSpec) -> bool| set.captures.iter().any(|capture| wanted(capture.spec()));
        self.passing = any(|spec| spec.received || spec.transmitted);
        self.drops = any(|spec| spec.dropped);
        self.worker = worker;
        self.blame = None;
        self.set.replace(set)
    }

    /// Somebody wants packets that come in or go out.
    #[inline(always)]
    pub fn on_way(&self) -> bool {
        self.passing
    }

    /// Somebody wants packets that are dropped.
    #[inline(always)]
    pub fn on_drops(&self) -> bool {
        self.drops
    }

    /// Frames come in by a port or go out by it.
    #[cold]
    #[inline(never)]
    pub fn pass(&self, point: Point, at: Where, frames: &[Frame]) {
        for frame in frames {
            self.offer(&record(point, at, frame), frame.data());
        }
    }

    /// Says which rules decided about the packet that is dropped next.
    #[inline]
    pub fn accuse(&mut self, blame: impl FnOnce() -> Blame) {
        if self.drops {
            self.blame = Some(blame());
        }
    }

    /// A frame is dropped. `packet`: it starts at its IP header, and is given an Ethernet header here.
    #[cold]
    #[inline(never)]
    pub fn drop(&mut self, at: Where, frame: &mut Frame, packet: bool, reason: DropReason) {
        let made_up = packet && give_ethernet(frame);
        let is_verdict = matches!(reason, DropReason::PolicyDeniedEgress | DropReason::PolicyDeniedIngress);
        let record = Record {
            blame: self.blame.take().filter(|_| is_verdict),
            made_up,
            ..record(Point::Dropped(reason), at, frame)
        };
        self.offer(&record, frame.data());
    }

    /// A frame that there is no memory for is dropped: nothing is known of what would have been in it.
    #[cold]
    #[inline(never)]
    pub fn drop_unmade(&self, at: Where, reason: DropReason) {
        let record = Record {
            point: Point::Dropped(reason),
            at: at.now,
            len: 0,
            port: at.port,
            vrf: at.vrf,
            blame: None,
            made_up: false,
        };
        self.offer(&record, &[]);
    }

    fn offer(&self, record: &Record, bytes: &[u8]) {
        for capture in self.set.iter().flat_map(|set| &set.captures) {
            capture.offer(self.worker, record, bytes);
        }
    }
}

fn record(point: Point, at: Where, frame: &Frame) -> Record {
    Record {
        point,
        at: at.now,
        len: frame.len() as u32,
        port: at.port,
        vrf: at.vrf,
        blame: None,
        made_up: false,
    }
}

/// Puts the Ethernet header in front that the packet came with, where it is still there, else one with its type only. Gives whether it was made up.
fn give_ethernet(frame: &mut Frame) -> bool {
    let kind = match frame.data().first().map(|first| first >> 4) {
        Some(6) => ethertype::IPV6,
        _ => ethertype::IPV4,
    };
    let has_room = frame.prepend(ETHERNET).is_ok() || make_room(frame);
    let Some(header) = frame
        .data_mut()
        .first_chunk_mut::<{ ETHERNET as usize }>()
        .filter(|_| has_room)
    else {
        return false;
    };
    let [before @ .., high, low] = header;
    if u16::from_be_bytes([*high, *low]) == kind {
        return false;
    }
    before.fill(0);
    [*high, *low] = kind.to_be_bytes();
    true
}

/// Without room in front, moves the packet back.
fn make_room(frame: &mut Frame) -> bool {
    let len = frame.len();
    if frame.append(&[0; ETHERNET as usize]).is_err() {
        return false;
    }
    frame.data_mut().copy_within(..len, usize::from(ETHERNET));
    if let Some(header) = frame.data_mut().get_mut(..usize::from(ETHERNET)) {
        header.fill(0);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use crate::packet::FramePool;

    fn taps() -> (Taps, Arc<Capture>) {
        let spec = CaptureSpec {
            filter: None,
            received: true,
            transmitted: true,
            dropped: true,
            snap: 128,
            sample: 1,
            rate: 0,
            buffer: 0,
        };
        let capture = Arc::new(Capture::new(spec, 1));
        let mut taps = Taps::default();
        assert!(!taps.on_way() && !taps.on_drops());
        let set = CaptureSet {
            captures: vec![capture.clone()],
        };
        assert!(taps.set(0, Arc::new(set)).is_none());
        assert!(taps.on_way() && taps.on_drops());
        (taps, capture)
    }

    const AT: Where = Where {
        port: PortSlot::from_raw(2),
        vrf: Some(VrfSlot::from_raw(3)),
        now: 17,
    };

    #[test]
    fn a_packet_is_seen_with_the_header_it_came_with_or_with_one_that_is_said_to_be_made_up() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let (mut taps, capture) = taps();
        let mut bytes = Vec::new();
        for (kind, first) in [(ethertype::IPV4, 0x45), (ethertype::IPV6, 0x60)] {
            let mut whole = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
            whole.extend(kind.to_be_bytes());
            whole.extend([first; 40]);
            let mut frame = cache.take().unwrap();
            frame.copy_from(&whole).unwrap();
            frame.strip(ETHERNET);
            taps.drop(AT, &mut frame, true, DropReason::NoRoute);
            let record = capture.take(0, &mut bytes).unwrap();
            assert_eq!(
                (record.point, record.made_up, record.len),
                (Point::Dropped(DropReason::NoRoute), false, 54)
            );
            assert_eq!((record.port, record.vrf, record.at), (AT.port, AT.vrf, AT.now));
            assert_eq!(bytes, whole);
            // Out of a tunnel with labels, other bytes are in front; at the very start of its chunk, none are.
            for start in [ETHERNET + 2, 0] {
                frame.place(start, 40).unwrap();
                frame.data_mut().fill(first);
                taps.drop(AT, &mut frame, true, DropReason::NoRoute);
                let record = capture.take(0, &mut bytes).unwrap();
                assert!(record.made_up);
                assert_eq!(
                    (&bytes[..12], &bytes[12..14], &bytes[14..]),
                    (&[0; 12][..], &kind.to_be_bytes()[..], &[first; 40][..])
                );
            }
            cache.free(frame);
        }
    }

    #[test]
    fn blame_is_for_the_next_drop_only() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let (mut taps, capture) = taps();
        let blame = Blame {
            egress_rule: 4,
            ..Blame::default()
        };
        taps.accuse(|| blame);
        let mut frame = cache.take().unwrap();
        frame.copy_from(&[0; 60]).unwrap();
        taps.drop(AT, &mut frame, false, DropReason::PolicyDeniedEgress);
        taps.drop(AT, &mut frame, false, DropReason::NotOurMac);
        taps.drop_unmade(AT, DropReason::NoFrame);
        let mut bytes = Vec::new();
        assert_eq!(capture.take(0, &mut bytes).unwrap().blame, Some(blame));
        assert_eq!(capture.take(0, &mut bytes).unwrap().blame, None);
        assert_eq!(capture.take(0, &mut bytes).unwrap().len, 0);
        cache.free(frame);
    }
}
