//! TCP: one segment against what both directions have said before (RFC 9293, section 3.10.7, seen from between; RFC 5961).

use super::{
    Phase, Segment, phase,
    word::{Half, MAX_SCALE, NO_SCALE, Stage},
};
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

/// How far an acknowledgement may lie behind what was acknowledged before, when the window is smaller.
const OLD_ACK: u32 = 65_536;

/// How far numbers of a connection whose beginning was not seen may be from what is expected.
const FAR: u32 = 1 << 30;

/// What is to be done with a tracked segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// Let it pass: it belongs to the connection.
    Ok,
    /// Let it pass: its reset ends the connection.
    Reset,
    /// Let it pass, though it changed nothing: a reset in the window but not at the exact next sequence number, a SYN for a living
    /// connection, or what answers these. The receiver judges, and challenges its sender (RFC 5961, sections 3.2 and 4.2).
    InDoubt,
    /// Refuse it: neither its sequence nor its acknowledgement number belongs to the connection.
    OutOfWindow,
    /// Refuse it: a reset outside of the window (RFC 5961, section 3.2: the receiver drops it silently).
    BadRst,
    /// Refuse it: flags that do not go together.
    BadFlags,
}

impl Tracking {
    /// Whether the segment is let pass.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::Ok | Self::Reset | Self::InDoubt)
    }
}

/// A segment that can begin no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOpening {
    /// A reset: there is nothing to reset.
    #[error("a reset of a connection that is not known")]
    Reset,
    /// Flags that do not go together.
    #[error("TCP flags that do not go together")]
    BadFlags,
}

/// The word of a direction whose first segment this is, where the other direction has sent nothing. A segment from the middle of a
/// connection is *picked up*: [`is_picked_up`] tells.
///
/// # Errors
/// [`NotAnOpening`].
pub fn first(segment: &Segment) -> Result<u64, NotAnOpening> {
    if !segment.is_sane() {
        return Err(NotAnOpening::BadFlags);
    }
    if segment.has(RST) {
        return Err(NotAnOpening::Reset);
    }
    let half = if segment.has(SYN | ACK) {
        syn_ack_word(segment, segment.window_scale)
    } else if segment.has(SYN) {
        syn_word(segment)
    } else {
        pick_up(segment)
    };
    Ok(half.word())
}

/// Whether the direction was joined in the middle of its connection: nothing proves that a handshake ever took place.
#[must_use]
pub fn is_picked_up(word: u64) -> bool {
    Half::of(word).stage == Stage::Picked
}

/// Checks a segment of a direction whose word is `own`, the other direction's being `peer`. Gives the new word of the direction (the
/// same one if nothing changed) and what is to be done with the segment.
#[must_use]
pub fn track(own: u64, peer: u64, segment: &Segment) -> (u64, Tracking) {
    let (half, other) = (Half::of(own), Half::of(peer));
    let (half, tracking) = if !segment.is_sane() {
        (half, Tracking::BadFlags)
    } else if segment.has(RST) {
        reset(half, other, segment)
    } else if segment.has(SYN | ACK) {
        syn_ack(half, other, segment)
    } else if segment.has(SYN) {
        syn(half, other, segment)
    } else {
        plain(half, other, segment)
    };
    (half.word(), tracking)
}

/// Whether a segment that turned its direction's word from `before` into `after` brought the connection into a phase with a
/// shorter timeout (it closes, has closed, or begins anew): the flow's timeout must then be looked at again.
#[must_use]
pub fn shortens(before: u64, after: u64, peer: u64) -> bool {
    let (old, new, other) = (Half::of(before), Half::of(after), Half::of(peer));
    // The usual packet of a living connection.
    if old.stage == new.stage && new.stage != Stage::Fin && other.stage != Stage::Fin {
        return false;
    }
    let (was, is) = (phase::tcp(old, other), phase::tcp(new, other));
    was != is
        && match is {
            Phase::Closing | Phase::TimeWait | Phase::Closed => true,
            Phase::SynSent | Phase::SynReceived => matches!(
                was,
                Phase::Established | Phase::Closing | Phase::TimeWait | Phase::Closed
            ),
            _ => false,
        }
}

fn syn_word(segment: &Segment) -> Half {
    let mut half = Half::new(Stage::Syn, segment.end(), segment.window_scale.unwrap_or(NO_SCALE));
    // The length of its data.
    half.set_ack(segment.len.saturating_sub(1));
    half.offer(segment.window.into());
    half
}

fn syn_ack_word(segment: &Segment, scale: Option<u8>) -> Half {
    let mut half = Half::new(Stage::SynAck, segment.end(), scale.unwrap_or(NO_SCALE));
    half.set_ack(segment.ack);
    half.offer(segment.window.into());
    half
}

fn pick_up(segment: &Segment) -> Half {
    let mut half = Half::picked(segment.end());
    half.set_ack(segment.ack);
    if segment.has(FIN) {
        half.stage = Stage::Fin;
    }
    half
}

/// Whether the direction `own` owes an answer to a SYN of the peer, whatever it said in an earlier connection.
fn owes_answer(own: Half, peer: Half) -> bool {
    peer.stage == Stage::Syn && !matches!(own.stage, Stage::Syn | Stage::SynAck)
}

/// Whether this acknowledges the peer's SYN: all of it, or all but its data (RFC 7413, section 3).
fn acknowledges_syn(peer: Half, ack: u32) -> bool {
    peer.end.wrapping_sub(ack) <= peer.syn_data()
}

fn reset(own: Half, peer: Half, segment: &Segment) -> (Half, Tracking) {
    let mut ended = Half {
        stage: Stage::Reset,
        ..own
    };
    if owes_answer(own, peer) {
        // Connection refused (RFC 9293, section 3.10.7.3): it must acknowledge the SYN.
        if segment.has(ACK) && acknowledges_syn(peer, segment.ack) {
            ended.end = segment.end();
            // By this it is known to refuse this SYN, not an earlier connection.
            ended.set_ack(peer.end);
            return (ended, Tracking::Reset);
        }
        let tracking = if own.stage == Stage::Silent {
            Tracking::BadRst
        } else {
            Tracking::InDoubt
        };
        return (own, tracking);
    }
    match (own.stage, peer.stage) {
        // Already over.
        (Stage::Reset, _) | (_, Stage::Reset) => (own, Tracking::InDoubt),
        // Nothing is known but what the peer acknowledged, of that the low bits.
        (Stage::Silent, _)
            if peer.acknowledges()
                && peer.ack(&Half {
                    end: segment.seq,
                    ..own
                }) == segment.seq =>
        {
            ended.end = segment.end();
            (ended, Tracking::Reset)
        }
        (Stage::Silent, _) => (own, Tracking::BadRst),
        // Its SYN was answered by a host that still thinks to have an earlier connection: that one is what it resets.
        (Stage::Syn, Stage::Open | Stage::Picked | Stage::Fin | Stage::Doubted) => (own, Tracking::InDoubt),
        _ => {
            let acknowledged = peer.acknowledges().then(|| peer.ack(&own));
            if segment.seq == own.end || Some(segment.seq) == acknowledged {
                (ended, Tracking::Reset)
            } else if sequence_fits(own, peer, segment) {
                (own, Tracking::InDoubt)
            } else {
                (own, Tracking::BadRst)
            }
        }
    }
}

/// A SYN without acknowledgement.
fn syn(own: Half, peer: Half, segment: &Segment) -> (Half, Tracking) {
    let mut fresh = syn_word(segment);
    match own.stage {
        Stage::Silent => (fresh, Tracking::Ok),
        Stage::Syn => {
            let same = own.end.wrapping_sub(own.syn_data()) == segment.seq.wrapping_add(1);
            if same {
                // Sent again, perhaps without its data or its options.
                if own.syn_data() > fresh.syn_data() {
                    fresh.end = own.end;
                    fresh.set_ack(own.syn_data());
                }
                (fresh, Tracking::Ok)
            } else if peer.stage == Stage::SynAck {
                (own, Tracking::InDoubt)
            } else {
                (fresh, Tracking::Ok)
            }
        }
        _ => match phase::tcp(own, peer) {
            // Over: a new connection on the same ports. (RFC 9293 has the receiver in TIME-WAIT judge the sequence number, RFC 6191
            // the timestamp. A stranger's SYN here changes nothing of a connection that is over.)
            Phase::TimeWait | Phase::Closed | Phase::SynSent | Phase::Unreplied if own.stage != Stage::SynAck => {
                (fresh, Tracking::Ok)
            }
            _ => match own.stage {
                Stage::Open | Stage::Picked => (
                    Half {
                        stage: Stage::Doubted,
                        ..own
                    },
                    Tracking::InDoubt,
                ),
                _ => (own, Tracking::InDoubt),
            },
        },
    }
}

fn syn_ack(own: Half, peer: Half, segment: &Segment) -> (Half, Tracking) {
    // Both began at once (RFC 9293, figure 8): its options were on its first SYN.
    let scale = match own.stage {
        Stage::Syn if own.scale != NO_SCALE => Some(own.scale),
        _ => segment.window_scale,
    };
    let mut fresh = syn_ack_word(segment, scale);
    // Sent again after it has sent data (RFC 7413), or not: what was sent stays sent.
    if own.stage == Stage::SynAck && before(fresh.end, own.end) && own.end.wrapping_sub(fresh.end) <= OLD_ACK {
        fresh.end = own.end;
    }
    match peer.stage {
        Stage::Syn if acknowledges_syn(peer, segment.ack) => (fresh, Tracking::Ok),
        // Of an earlier connection: the peer will answer with a reset.
        Stage::Syn => (own, Tracking::InDoubt),
        // It has forgotten the connection, too, and begins anew.
        Stage::Doubted => (fresh, Tracking::Ok),
        Stage::Silent if matches!(own.stage, Stage::Silent | Stage::Syn | Stage::SynAck) => (fresh, Tracking::Ok),
        _ => match own.stage {
            Stage::Syn if peer.stage == Stage::SynAck && segment.ack == peer.end => (fresh, Tracking::Ok),
            Stage::SynAck if segment.end() == own.end || before(segment.end(), own.end) => {
                if fits(own, peer, segment) {
                    (own, Tracking::Ok)
                } else {
                    (own, Tracking::OutOfWindow)
                }
            }
            Stage::Silent | Stage::Syn | Stage::Reset => (own, Tracking::InDoubt),
            _ if fits(own, peer, segment) => (own, Tracking::InDoubt),
            _ => (own, Tracking::OutOfWindow),
        },
    }
}

/// A segment with neither SYN nor RST: it acknowledges, since it is sane.
fn plain(own: Half, peer: Half, segment: &Segment) -> (Half, Tracking) {
    // A host that still has an earlier connection says so to a SYN (RFC 9293, figure 9); what is late of a reset one is on its way.
    if owes_answer(own, peer)
        || (own.stage == Stage::Reset || peer.stage == Stage::Reset)
        || own.stage == Stage::Syn && matches!(peer.stage, Stage::Open | Stage::Picked | Stage::Fin | Stage::Doubted)
    {
        return (own, Tracking::InDoubt);
    }
    match (own.stage, peer.stage) {
        (Stage::Silent, Stage::Silent) => (pick_up(segment), Tracking::Ok),
        // Only the SYN-ACK was seen.
        (Stage::Silent, Stage::SynAck) => {
            if segment.ack == peer.end {
                (pick_up(segment), Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
        (Stage::Silent, _) => {
            if near(segment.ack, peer.end) {
                (pick_up(segment), Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
        (Stage::Syn, Stage::Syn) => {
            if acknowledges_syn(peer, segment.ack) && segment.seq == own.end {
                // As good as a SYN-ACK.
                let mut half = Half {
                    stage: Stage::SynAck,
                    ..own
                };
                half.set_ack(segment.ack);
                (half, Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
        (Stage::Syn, Stage::SynAck) => {
            // The server sends data before this only in answer to data on the SYN.
            let data = if own.syn_data() == 0 { 0 } else { OLD_ACK };
            if peer.end.wrapping_sub(segment.ack) <= data && sequence_fits(own, peer, segment) {
                (advance(own, peer, segment), Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
        (Stage::Syn, _) => (own, Tracking::OutOfWindow),
        // Nobody has answered yet.
        (_, Stage::Silent) => {
            if near(segment.seq, own.end) {
                (advance(own, peer, segment), Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
        (stage, _) => {
            if fits(own, peer, segment) {
                (advance(own, peer, segment), Tracking::Ok)
            } else if stage == Stage::Doubted && peer.stage == Stage::SynAck && segment.ack == peer.end {
                // It did begin anew.
                (pick_up(segment), Tracking::Ok)
            } else {
                (own, Tracking::OutOfWindow)
            }
        }
    }
}

/// The direction after a segment that belongs to the connection.
fn advance(own: Half, peer: Half, segment: &Segment) -> Half {
    let mut half = own;
    let newer = before(own.end, segment.end());
    let answered = !matches!(peer.stage, Stage::Silent | Stage::Syn);
    if newer {
        half.end = segment.end();
    }
    half.stage = match own.stage {
        // Until its SYN is acknowledged nothing it says can close the connection.
        Stage::SynAck if !answered => Stage::SynAck,
        _ if segment.has(FIN) && (newer || segment.end() == own.end) => Stage::Fin,
        // What came as a FIN was none of its own: it sends on.
        Stage::Fin if newer => Stage::Open,
        Stage::Syn | Stage::SynAck | Stage::Doubted => Stage::Open,
        stage => stage,
    };
    let beyond = before(peer.end, segment.ack);
    if !beyond && (!own.acknowledges() || before(own.ack(&peer), segment.ack)) {
        half.set_ack(segment.ack);
    }
    half.offer(u32::from(segment.window) << own.shift(&peer));
    half
}

/// Whether both numbers of a segment belong to the connection.
fn fits(own: Half, peer: Half, segment: &Segment) -> bool {
    sequence_fits(own, peer, segment) && acknowledgement_fits(own, peer, segment.ack)
}

/// Whether the sequence numbers lie between what the peer may still ask for again and what its window allows.
fn sequence_fits(own: Half, peer: Half, segment: &Segment) -> bool {
    let window = peer.window();
    let edge = if peer.acknowledges() { peer.ack(&own) } else { own.end };
    // One beyond the edge: a probe of a closed window.
    !before(edge.wrapping_add(window).wrapping_add(1), segment.seq)
        && !before(segment.end(), own.end.wrapping_sub(window).wrapping_sub(1))
}

/// Whether the peer has sent what is acknowledged, and not long ago (RFC 5961, section 5.2).
fn acknowledgement_fits(own: Half, peer: Half, ack: u32) -> bool {
    let sent = if peer.stage == Stage::Picked {
        peer.end.wrapping_add(FAR)
    } else {
        peer.end
    };
    let oldest = if own.acknowledges() { own.ack(&peer) } else { peer.end };
    !before(sent, ack) && !before(ack, oldest.wrapping_sub(own.window().max(OLD_ACK)))
}

/// Whether `a` comes before `b`, in the arithmetic of sequence numbers (RFC 9293, section 3.4).
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).min(b.wrapping_sub(a)) <= FAR
}

const _: () = assert!(MAX_SCALE < NO_SCALE);
