//! Who has how much under way.

use super::{
    NONE,
    datagram::{Datagram, Link},
};

/// Owners that are told apart. Two that meet in one slot share a quota.
const SLOTS: usize = 4096;

/// Datagrams in the order in which they began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub first: u32,
    last: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }
}

impl Chain {
    pub(super) fn push(&mut self, all: &mut [Datagram], index: u32, link: fn(&mut Datagram) -> &mut Link) {
        if let Some(datagram) = all.get_mut(index as usize) {
            *link(datagram) = Link {
                before: self.last,
                next: NONE,
            };
        }
        match all.get_mut(self.last as usize) {
            Some(last) => link(last).next = index,
            None => self.first = index,
        }
        self.last = index;
    }

    pub(super) fn remove(&mut self, all: &mut [Datagram], index: u32, link: fn(&mut Datagram) -> &mut Link) {
        let Some(datagram) = all.get_mut(index as usize) else {
            return;
        };
        let Link { before, next } = std::mem::replace(link(datagram), Link::NONE);
        match all.get_mut(before as usize) {
            Some(before) => link(before).next = next,
            None => self.first = next,
        }
        match all.get_mut(next as usize) {
            Some(next) => link(next).before = before,
            None => self.last = before,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    datagrams: Chain,
    count: usize,
    held: usize,
}

/// What owners have under way.
#[derive(Debug)]
pub(super) struct Owners(Box<[Owner]>);

impl Default for Owners {
    fn default() -> Self {
        Self(vec![Owner::default(); SLOTS].into())
    }
}

impl Owners {
    /// Ports have neighbouring numbers: they meet nobody as long as there are no more than slots.
    pub(super) fn slot(&self, owner: u32) -> usize {
        owner as usize % self.0.len()
    }

    pub(super) fn chain(&self, slot: usize) -> Chain {
        self.0.get(slot).map_or_else(Chain::default, |owner| owner.datagrams)
    }

    pub(super) fn datagrams(&self, slot: usize) -> usize {
        self.0.get(slot).map_or(0, |owner| owner.count)
    }

    pub(super) fn held(&self, slot: usize) -> usize {
        self.0.get(slot).map_or(0, |owner| owner.held)
    }

    pub(super) fn held_more(&mut self, slot: usize) {
        if let Some(owner) = self.0.get_mut(slot) {
            owner.held += 1;
        }
    }

    pub(super) fn held_less(&mut self, slot: usize, count: usize) {
        if let Some(owner) = self.0.get_mut(slot) {
            owner.held -= count;
        }
    }

    pub(super) fn push(&mut self, slot: usize, all: &mut [Datagram], index: u32) {
        if let Some(owner) = self.0.get_mut(slot) {
            owner.datagrams.push(all, index, |d| &mut d.of_owner);
            owner.count += 1;
        }
    }

    pub(super) fn remove(&mut self, slot: usize, all: &mut [Datagram], index: u32) {
        if let Some(owner) = self.0.get_mut(slot) {
            owner.datagrams.remove(all, index, |d| &mut d.of_owner);
            owner.count -= 1;
        }
    }
}
