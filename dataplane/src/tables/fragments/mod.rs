//! Virtual reassembly: fragments are not put together, but each learns the ports of its datagram's head, so that all of them meet the
//! same flow, and with it the same verdict, translation, backend and path.
//!
//! One [`Fragments`] per worker. The head (offset 0) tells; later fragments are told; those that come before the head wait. What a receiver
//! might put together in two ways is refused: overlaps and duplicates lose their datagram (RFC 5722, for IPv4 likewise), and TCP
//! fragments that begin within the header never had a good reason (RFC 1858). Memory is fixed: quotas are per owner (a port, or a
//! VRF for what came through tunnels), and an owner that has too much under way loses its own oldest datagram, nobody else's.
//!
//! Generic over what waits: packets in the pipeline, numbers in tests. No time and no headers here.

mod datagram;
mod owners;

use self::{
    datagram::{Datagram, Fit},
    owners::{Chain, Owners},
};
use crate::{
    packet::{
        FlowKey,
        shelf::{List, Shelf},
    },
    wire::proto,
};

/// How long a datagram's fragments may be under way, nanoseconds. Reordering takes milliseconds; identifications of a busy IPv4
/// sender come again within seconds.
pub const TIMEOUT: u64 = 5_000_000_000;

/// Datagrams that are given up per call of [`Fragments::expire`].
const EXPIRE_AT_A_TIME: usize = 64;

/// No datagram.
const NONE: u32 = u32::MAX;

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Context, addresses and protocol (zero for IPv6, whose datagrams are told apart without it, RFC 8200 section 4.5), and the
    /// identification in place of the ports.
    pub key: FlowKey,
    /// On whose quota: fragments of different owners never belong together.
    pub owner: u32,
}

impl Identity {
    /// Of a fragment with this flow key (its ports do not matter) and identification.
    pub fn new(key: &FlowKey, identification: u32, owner: u32) -> Self {
        let (high, low) = ((identification >> 16) as u16, identification as u16);
        let protocol = if key.family() == 6 { 0 } else { key.protocol() };
        Self {
            key: key.with_transport(protocol, high, low),
            owner,
        }
    }
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte, a multiple of 8.
    pub offset: u16,
    /// Bytes. Where more follow, a multiple of 8.
    pub len: u16,
    /// More follow.
    pub more: bool,
    /// Protocol, as this fragment names it.
    pub protocol: u8,
}

/// What only the head of a datagram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Transport protocol.
    pub protocol: u8,
    /// Source port (or what stands for it).
    pub source_port: u16,
    /// Destination port (or what stands for it).
    pub destination_port: u16,
    /// The datagram is an ICMP echo request or reply.
    pub is_echo: bool,
}

/// Why a fragment is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// It, or a sister, overlaps another or the transport header.
    Overlap,
    /// Its head did not come in time.
    Timeout,
    /// Its owner has too much under way.
    Quota,
}

/// What becomes of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It goes on, with the ports of its head.
    Pass(T, Head),
    /// It waits for its head.
    Held,
    /// It must be dropped.
    Refused(T, Lost),
}

/// How much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Datagrams that are known at a time.
    pub datagrams: usize,
    /// Of these, for one owner.
    pub datagrams_per_owner: usize,
    /// Fragments that wait for their head.
    pub held: usize,
    /// Of these, for one owner.
    pub held_per_owner: usize,
}

impl Capacity {
    /// For a worker that may hold back so many packets.
    pub fn for_packets(held: usize) -> Self {
        let held = held.clamp(8, 1024);
        Self {
            datagrams: 2 * held,
            datagrams_per_owner: held / 2,
            held,
            held_per_owner: held / 4,
        }
    }
}

/// Something that waits, or is about to be taken out.
#[derive(Debug)]
struct Waiting<T> {
    item: T,
    head: Head,
    lost: Lost,
}

/// The fragments of one worker.
#[derive(Debug)]
pub struct Fragments<T> {
    capacity: Capacity,
    seed: u64,
    shelf: Shelf<Waiting<T>>,
    datagrams: Box<[Datagram]>,
    /// First of the unused datagrams.
    free: u32,
    /// First datagram of each hash.
    buckets: Box<[u32]>,
    /// All datagrams, by age.
    all: Chain,
    owners: Owners,
    /// Fragments whose head came.
    ready: List,
    /// Fragments that are lost.
    lost: List,
    known: usize,
    tracked: u64,
}

impl<T> Fragments<T> {
    /// Room for fragments. `seed` keeps outsiders from aiming at one bucket.
    pub fn new(capacity: Capacity, seed: u64) -> Self {
        let count = capacity.datagrams.clamp(1, 1 << 20);
        Self {
            capacity,
            seed,
            shelf: Shelf::new(capacity.held),
            datagrams: (1..=count as u32)
                .map(|next| Datagram::unused(if next as usize == count { NONE } else { next }))
                .collect(),
            free: 0,
            buckets: vec![NONE; (2 * count).next_power_of_two()].into(),
            all: Chain::default(),
            owners: Owners::default(),
            ready: List::default(),
            lost: List::default(),
            known: 0,
            tracked: 0,
        }
    }

    /// Fragments that wait, or that are to be taken out by [`next_ready`](Self::next_ready) and [`next_lost`](Self::next_lost).
    #[inline]
    pub fn held(&self) -> usize {
        self.shelf.used()
    }

    /// Datagrams known now.
    #[inline]
    pub fn known(&self) -> usize {
        self.known
    }

    /// Datagrams there were in all.
    #[inline]
    pub fn tracked(&self) -> u64 {
        self.tracked
    }

    /// Nothing is under way.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.known == 0 && self.shelf.used() == 0
    }

    /// Takes one fragment, at `now` (nanoseconds). `head`: the ports, when it is the head. Afterwards take out what became ready or was
    /// lost by it.
    pub fn admit(&mut self, identity: &Identity, piece: Piece, head: Option<Head>, now: u64, item: T) -> Outcome<T> {
        let index = match self.find(identity) {
            Some(index) => index,
            None => self.begin(identity, now),
        };
        let Some(datagram) = self.datagrams.get_mut(index as usize) else {
            return Outcome::Refused(item, Lost::Quota);
        };
        let fit = if within_tcp_header(&piece) {
            datagram.poisoned = true;
            Fit::Overlap
        } else {
            datagram.fit(piece.offset, piece.len, piece.more)
        };
        match fit {
            Fit::Overlap => {
                self.lose_held(index, Lost::Overlap);
                return Outcome::Refused(item, Lost::Overlap);
            }
            Fit::TooManyGaps => return Outcome::Refused(item, Lost::Quota),
            Fit::Good => {}
        }
        if let Some(head) = head {
            datagram.head = Some(head);
            let owner = self.owners.slot(datagram.identity.owner);
            let held = std::mem::take(&mut datagram.held);
            self.owners.held_less(owner, held.len());
            self.shelf.append(&mut self.ready, held, |waiting| waiting.head = head);
        }
        let Some(known) = datagram.head else {
            return self.hold(index, item);
        };
        if datagram.is_complete() {
            self.forget(index);
        }
        Outcome::Pass(item, known)
    }

    /// A fragment whose head has come.
    pub fn next_ready(&mut self) -> Option<(T, Head)> {
        let waiting = self.shelf.pop(&mut self.ready)?;
        Some((waiting.item, waiting.head))
    }

    /// Some are ready.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A fragment that is lost.
    pub fn next_lost(&mut self) -> Option<(T, Lost)> {
        let waiting = self.shelf.pop(&mut self.lost)?;
        Some((waiting.item, waiting.lost))
    }

    /// Gives up datagrams whose time is over at `now`, some at a time; call it again later for the rest.
    pub fn expire(&mut self, now: u64) {
        for _ in 0..EXPIRE_AT_A_TIME {
            match self.datagrams.get(self.all.first as usize) {
                Some(oldest) if now.saturating_sub(oldest.since) >= TIMEOUT => {
                    let index = self.all.first;
                    self.lose_held(index, Lost::Timeout);
                    self.forget(index);
                }
                _ => return,
            }
        }
    }

    /// Gives up everything of an owner: its port is gone.
    pub fn forget_owner(&mut self, owner: u32) {
        let slot = self.owners.slot(owner);
        let mut index = self.owners.chain(slot).first;
        while let Some(datagram) = self.datagrams.get(index as usize) {
            let (next, is_of) = (datagram.of_owner.next, datagram.identity.owner == owner);
            if is_of {
                self.lose_held(index, Lost::Timeout);
                self.forget(index);
            }
            index = next;
        }
    }

    /// Gives up everything.
    pub fn clear(&mut self) {
        while self.all.first != NONE {
            let index = self.all.first;
            self.lose_held(index, Lost::Timeout);
            self.forget(index);
        }
    }

    fn hold(&mut self, index: u32, item: T) -> Outcome<T> {
        let Some(datagram) = self.datagrams.get_mut(index as usize) else {
            return Outcome::Refused(item, Lost::Quota);
        };
        let owner = self.owners.slot(datagram.identity.owner);
        if self.owners.held(owner) >= self.capacity.held_per_owner {
            return Outcome::Refused(item, Lost::Quota);
        }
        let waiting = Waiting {
            item,
            head: Head::default(),
            lost: Lost::Quota,
        };
        match self.shelf.push(&mut datagram.held, waiting) {
            Ok(()) => {
                self.owners.held_more(owner);
                Outcome::Held
            }
            Err(waiting) => Outcome::Refused(waiting.item, Lost::Quota),
        }
    }

    #[inline]
    fn bucket(&self, identity: &Identity) -> usize {
        let hash = identity.key.hash(self.seed ^ u64::from(identity.owner));
        hash as usize & (self.buckets.len() - 1)
    }

    fn find(&self, identity: &Identity) -> Option<u32> {
        let mut index = *self.buckets.get(self.bucket(identity))?;
        while let Some(datagram) = self.datagrams.get(index as usize) {
            if datagram.identity == *identity {
                return Some(index);
            }
            index = datagram.next;
        }
        None
    }

    /// Makes room for a datagram and remembers it.
    fn begin(&mut self, identity: &Identity, now: u64) -> u32 {
        let owner = self.owners.slot(identity.owner);
        let victim = if self.owners.datagrams(owner) >= self.capacity.datagrams_per_owner.max(1) {
            self.owners.chain(owner).first
        } else if self.free == NONE {
            self.all.first
        } else {
            NONE
        };
        if victim != NONE {
            self.lose_held(victim, Lost::Quota);
            self.forget(victim);
        }
        let index = self.free;
        let bucket = self.bucket(identity);
        if let (Some(datagram), Some(first)) = (self.datagrams.get_mut(index as usize), self.buckets.get_mut(bucket)) {
            self.free = datagram.next;
            *datagram = Datagram::new(*identity, now, std::mem::replace(first, index));
            self.all.push(&mut self.datagrams, index, |d| &mut d.of_all);
            self.owners.push(owner, &mut self.datagrams, index);
            self.known += 1;
            self.tracked += 1;
        }
        index
    }

    /// Counts what waits of a datagram as lost.
    fn lose_held(&mut self, index: u32, lost: Lost) {
        let Some(datagram) = self.datagrams.get_mut(index as usize) else {
            return;
        };
        let held = std::mem::take(&mut datagram.held);
        let owner = self.owners.slot(datagram.identity.owner);
        self.owners.held_less(owner, held.len());
        self.shelf.append(&mut self.lost, held, |waiting| waiting.lost = lost);
    }

    /// Forgets a datagram of which nothing waits any more.
    fn forget(&mut self, index: u32) {
        let Some(datagram) = self.datagrams.get(index as usize) else {
            return;
        };
        let (identity, after) = (datagram.identity, datagram.next);
        let bucket = self.bucket(&identity);
        if let Some(first) = self.buckets.get_mut(bucket) {
            if *first == index {
                *first = after;
            } else {
                let mut before = *first;
                while let Some(datagram) = self.datagrams.get_mut(before as usize) {
                    if datagram.next == index {
                        datagram.next = after;
                        break;
                    }
                    before = datagram.next;
                }
            }
        }
        self.all.remove(&mut self.datagrams, index, |d| &mut d.of_all);
        let owner = self.owners.slot(identity.owner);
        self.owners.remove(owner, &mut self.datagrams, index);
        if let Some(datagram) = self.datagrams.get_mut(index as usize) {
            datagram.next = std::mem::replace(&mut self.free, index);
            self.known -= 1;
        }
    }
}

/// A TCP fragment that begins eight bytes into the datagram would rewrite the flags that a policy looked at (RFC 1858 section 3).
fn within_tcp_header(piece: &Piece) -> bool {
    piece.protocol == proto::TCP && piece.offset > 0 && piece.offset < 20
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
