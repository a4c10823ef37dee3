//! Frames on their way out of the pipeline, gathered by port so that each port is handed one run of frames per batch.

use super::leaving::Leaving;
use crate::{packet::Frame, tables::slots::PortSlot};

/// Frames that a list holds at most: what one batch can send by one port. Each packet may be of 64 KiB and leave in segments of an
/// ordinary link's size; and there may be an answer about it.
pub(super) const LIST: usize = 48 * super::BATCH;

/// Frames to send, by port.
#[derive(Debug, Default)]
pub struct Outputs {
    /// By slot. A list without capacity belongs to no port.
    lists: Vec<Vec<Frame>>,
    /// Ports whose list is not empty.
    dirty: Vec<PortSlot>,
}

impl Outputs {
    /// Makes room for a port. Allocates: call it when a port is added, not on the packet path.
    pub fn add_port(&mut self, port: PortSlot) {
        if self.lists.len() <= port.index() {
            self.lists.resize_with(port.index() + 1, Vec::new);
            self.dirty.reserve(self.lists.len());
        }
        self.lists[port.index()].reserve(LIST);
    }

    /// Gives up a port's room, with the frames that wait in it.
    pub fn remove_port(&mut self, port: PortSlot) -> Vec<Frame> {
        self.dirty.retain(|p| *p != port);
        self.lists.get_mut(port.index()).map(std::mem::take).unwrap_or_default()
    }

    /// Adds a frame. Gives it back when there is no such port or its list is full.
    #[inline(always)]
    pub(super) fn push(&mut self, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        match self.lists.get_mut(port.index()) {
            Some(list) if list.len() < list.capacity() => {
                if list.is_empty() {
                    self.dirty.push(port);
                }
                list.push(frame);
                Ok(())
            }
            _ => Err(frame),
        }
    }

    /// Adds the next `count` frames that leave; gives how many were taken.
    #[inline]
    pub(super) fn append(&mut self, port: PortSlot, leaving: &mut Leaving<'_>, count: usize) -> usize {
        let Some(list) = self.lists.get_mut(port.index()) else {
            return 0;
        };
        let was_empty = list.is_empty();
        let taken = leaving.move_to(list, count);
        if was_empty && taken > 0 {
            self.dirty.push(port);
        }
        taken
    }

    /// There is such a port.
    pub(super) fn has(&self, port: PortSlot) -> bool {
        self.lists.get(port.index()).is_some_and(|list| list.capacity() > 0)
    }

    /// Adds a finished frame that came from elsewhere: from another worker, from the control side.
    ///
    /// # Errors
    /// Gives the frame back when the port is not known here or its list is full.
    pub fn offer(&mut self, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        self.push(port, frame)
    }

    /// Takes the list of one port that has frames to send; give it back with [`restore`](Self::restore). Nothing can be
    /// pushed to the port meanwhile.
    #[inline]
    pub fn take_dirty(&mut self) -> Option<(PortSlot, Vec<Frame>)> {
        let port = self.dirty.pop()?;
        Some((port, std::mem::take(self.lists.get_mut(port.index())?)))
    }

    /// Takes the list of a port, which may be empty.
    #[inline]
    pub fn take(&mut self, port: PortSlot) -> Vec<Frame> {
        self.dirty.retain(|p| *p != port);
        self.lists.get_mut(port.index()).map(std::mem::take).unwrap_or_default()
    }

    /// Gives back a list that was taken, emptied.
    #[inline]
    pub fn restore(&mut self, port: PortSlot, list: Vec<Frame>) {
        debug_assert!(list.is_empty(), "frames would be forgotten");
        if let Some(place) = self.lists.get_mut(port.index()) {
            *place = list;
        }
    }
}
