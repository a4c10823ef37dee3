//! How a flow comes into the table: its share is taken, a pair of the owner's region filled, and both keys made findable.

use super::index::{Claim, Entry};
use super::owner::FlowOwner;
use super::record::{ACTION_WORDS, Content, index_generation};
use super::table::{FlowTable, hit};
use super::{FlowHit, FlowRef, InsertError};
use crate::packet::key::{FlowKey, KEY_WORDS};

/// How often an insertion begins again because the flow in its way vanished under its hands.
const TRIES: usize = if cfg!(vrouter_loom) { 3 } else { 16 };

/// One direction of a flow to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDirection {
    /// The key of its packets.
    pub key: FlowKey,
    /// The key's hash with the table's seed ([`FlowTable::hash`]).
    pub hash: u64,
    /// The epoch its decision was made in; not [`STALE`](super::STALE), unless it is to be decided by its first packet.
    pub epoch: u64,
    /// Its decision. The middle word is the flow's: that of the answers means nothing as long as they are not decided.
    pub action: [u64; ACTION_WORDS],
}

impl<'a> Content<'a> {
    fn of(new: &'a NewDirection) -> Self {
        Self {
            key: new.key.as_words(),
            epoch: new.epoch,
            action: &new.action,
        }
    }
}

/// A flow to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlow {
    /// The direction of the packet at hand.
    pub forward: NewDirection,
    /// The direction of the answers, if they shall meet the same flow.
    pub reverse: Option<NewDirection>,
    /// The port whose share pays for the flow.
    pub port: u16,
}

impl FlowTable {
    /// Makes a flow in the owner's region. Gives the forward direction.
    ///
    /// Of workers that insert the same key at once exactly one succeeds; the others get its flow with
    /// [`InsertError::AlreadyThere`]. That is also so when one inserts the other's answers (the pair turned round): both
    /// insert the lesser key first. After an error nothing of the new flow is left.
    ///
    /// # Errors
    /// See [`InsertError`].
    pub fn insert(&self, owner: &mut FlowOwner, flow: &NewFlow, now_ms: u64) -> Result<FlowHit, InsertError> {
        self.insert_if(owner, flow, now_ms, false)
    }

    /// As [`insert`](Self::insert). The owner has just looked for the forward key, found nothing, and made no flow since: where there is nobody
    /// else to make one, it is not looked for again.
    ///
    /// # Errors
    /// See [`InsertError`].
    pub fn insert_absent(&self, owner: &mut FlowOwner, flow: &NewFlow, now_ms: u64) -> Result<FlowHit, InsertError> {
        self.insert_if(owner, flow, now_ms, true)
    }

    /// `absent`: of the forward key this is known, unless others make flows, too.
    #[inline]
    fn insert_if(
        &self,
        owner: &mut FlowOwner,
        flow: &NewFlow,
        now_ms: u64,
        absent: bool,
    ) -> Result<FlowHit, InsertError> {
        debug_assert_eq!(
            flow.forward.hash,
            self.hash(&flow.forward.key),
            "the hash is not this table's"
        );
        let vrf = self.vrf_of(&flow.forward.key);
        self.take_shares(flow.port, vrf)?;
        let Some(pair) = owner.allocate(self) else {
            self.give_back_shares(flow.port, vrf, 1);
            return Err(InsertError::TableFull);
        };
        // A key that is its own reverse is one direction.
        let reverse = flow.reverse.as_ref().filter(|new| new.key != flow.forward.key);
        let (first, answers) = (Content::of(&flow.forward), reverse.map(Content::of));
        let generation = self.pair(pair).fill(flow.port, &first, answers.as_ref(), now_ms);
        let forward = Side {
            hash: flow.forward.hash,
            direction: pair * 2,
            generation,
            words: first.key,
        };
        let reverse = reverse.map(|new| {
            debug_assert_eq!(new.hash, self.hash(&new.key), "the hash is not this table's");
            Side {
                hash: new.hash,
                direction: pair * 2 + 1,
                generation,
                words: new.key.as_words(),
            }
        });
        let linked = match self.has_one_owner() {
            true => self.link_alone(&forward, reverse.as_ref(), absent),
            false => self.link(&forward, reverse.as_ref()),
        };
        match linked {
            Ok(()) => {
                owner.born(pair, flow.port, now_ms);
                Ok(FlowHit {
                    flow: forward.flow(),
                    epoch: flow.forward.epoch,
                    action: flow.forward.action,
                })
            }
            Err(error) => {
                if !self.retire(owner, pair, None) {
                    owner.stillborn(pair);
                }
                owner.pay(self);
                Err(error)
            }
        }
    }

    /// Makes both directions findable, where there is nobody to race with: the order means nothing.
    #[inline]
    fn link_alone(&self, forward: &Side<'_>, reverse: Option<&Side<'_>>, absent: bool) -> Result<(), InsertError> {
        // What is in the way, or that there is no room, is found out at length.
        let place = |side: &Side<'_>| {
            let same = |entry: Entry| self.record(entry.direction()).is_same(side.words, entry);
            let generation = index_generation(side.generation);
            match self.index.place(side.hash, side.direction, generation, same) {
                Claim::Placed => Ok(()),
                _ => self.link_side(side, forward),
            }
        };
        if absent {
            let generation = index_generation(forward.generation);
            match self.index.place_absent(forward.hash, forward.direction, generation) {
                Claim::Placed => {}
                _ => return Err(InsertError::TableFull),
            }
        } else {
            place(forward)?;
        }
        reverse.map_or(Ok(()), place)
    }

    /// Makes both directions findable, the lesser key first.
    fn link(&self, forward: &Side<'_>, reverse: Option<&Side<'_>>) -> Result<(), InsertError> {
        match reverse {
            Some(reverse) if reverse.words < forward.words => {
                self.link_side(reverse, forward)?;
                self.link_side(forward, forward)
            }
            Some(reverse) => {
                self.link_side(forward, forward)?;
                self.link_side(reverse, forward)
            }
            None => self.link_side(forward, forward),
        }
    }

    #[inline(never)]
    fn link_side(&self, side: &Side<'_>, forward: &Side<'_>) -> Result<(), InsertError> {
        for _ in 0..TRIES {
            let same = |entry: Entry| self.record(entry.direction()).is_same(side.words, entry);
            let generation = index_generation(side.generation);
            let claim = if self.has_one_owner() {
                self.index.place(side.hash, side.direction, generation, same)
            } else {
                self.index.claim(side.hash, side.direction, generation, same)
            };
            match claim {
                Claim::Placed => return Ok(()),
                Claim::Full => return Err(InsertError::TableFull),
                Claim::Contended => {}
                Claim::Exists(entry) => {
                    let there = self.record(entry.direction());
                    if there.doomed() {
                        // Removed, but not yet out of the index: help, then try again.
                        self.index.unlink_entry(side.hash, entry);
                    } else if side.direction == forward.direction {
                        if let Some(seen) = there.read(side.words, entry) {
                            return Err(InsertError::AlreadyThere(hit(entry.direction(), seen)));
                        }
                    } else if let Some(hit) = self.hit_beside(entry, forward) {
                        return Err(InsertError::AlreadyThere(hit));
                    } else if there.is_same(side.words, entry) {
                        return Err(InsertError::ReverseTaken);
                    }
                }
            }
        }
        Err(InsertError::Contended)
    }

    /// The forward key's flow when the reverse key was found taken: the other direction of that entry's pair, if the same flow was
    /// just inserted by another worker (perhaps not yet findable), else one findable by itself.
    fn hit_beside(&self, entry: Entry, forward: &Side<'_>) -> Option<FlowHit> {
        let sibling = entry.direction() ^ 1;
        let (key, generation) = self.record(sibling).key()?;
        if key == *forward.words {
            return Some(hit(sibling, self.record(sibling).read_generation(generation)?));
        }
        // Not ourselves, who may be in the index by now.
        self.find(forward.words, forward.hash)
            .filter(|hit| hit.flow.direction != forward.direction)
    }
}

/// A direction on its way into the index.
struct Side<'a> {
    hash: u64,
    direction: u32,
    generation: u32,
    words: &'a [u64; KEY_WORDS],
}

impl Side<'_> {
    fn flow(&self) -> FlowRef {
        FlowRef {
            direction: self.direction,
            generation: self.generation,
        }
    }
}
