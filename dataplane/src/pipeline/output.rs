//! Frames on their way out of the pipeline, gathered by port so that each port is handed one run of frames per batch.

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

/// Why a frame was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// No such port.
    NoPort(Frame),
    /// The port's list is full.
    Full(Frame),
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

    #[inline]
    pub(super) fn push(&mut self, port: PortSlot, frame: Frame) -> Result<(), Refused> {
        let Some(list) = self.lists.get_mut(port.index()) else {
            return Err(Refused::NoPort(frame));
        };
        if list.len() == list.capacity() {
            return Err(if list.capacity() == 0 {
                Refused::NoPort(frame)
            } else {
                Refused::Full(frame)
            });
        }
        if list.is_empty() {
            self.dirty.push(port);
        }
        list.push(frame);
        Ok(())
    }

    /// Adds a finished frame that came from elsewhere: from another worker, from the control side.
    ///
    /// # Errors
    /// Gives the frame back when the port is not known here or its list is full.
    pub fn offer(&mut self, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        self.push(port, frame)
            .map_err(|(Refused::NoPort(frame) | Refused::Full(frame))| frame)
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
