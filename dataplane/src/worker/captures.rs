//! Captures under way: begun and ended by others, told to workers by mail.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Mailbox, mailbox::Command};
use crate::tap::{Capture, CaptureSet, CaptureSpec, MAX_CAPTURES};

/// So many captures are under way already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_CAPTURES} captures are under way already, and no more are possible: end one first")]
pub struct TooManyCaptures;

#[derive(Debug, Default)]
struct Sets {
    now: Arc<CaptureSet>,
    /// Sets that workers may still have. They are freed here once they have not, since workers free nothing.
    before: Vec<Arc<CaptureSet>>,
}

impl Sets {
    fn tidy(&mut self) -> bool {
        self.before.retain(|set| Arc::strong_count(set) > 1);
        !self.before.is_empty()
    }
}

/// Begins captures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Captures {
    mailboxes: Arc<[Arc<Mailbox>]>,
    sets: Arc<Mutex<Sets>>,
}

/// A capture under way, until this is dropped.
#[derive(Debug)]
pub struct Running {
    captures: Captures,
    capture: Arc<Capture>,
}

impl Captures {
    pub(super) fn new(mailboxes: Arc<[Arc<Mailbox>]>) -> Self {
        Self {
            mailboxes,
            sets: Arc::default(),
        }
    }

    /// Begins a capture. `prepare` may say what it is about before workers know of it.
    ///
    /// # Errors
    /// [`TooManyCaptures`].
    pub fn begin(&self, spec: CaptureSpec, prepare: impl FnOnce(&Capture)) -> Result<Running, TooManyCaptures> {
        let capture = Arc::new(Capture::new(spec, self.mailboxes.len()));
        prepare(&capture);
        let begun = self.change(|captures| {
            if captures.len() >= MAX_CAPTURES {
                return Err(TooManyCaptures);
            }
            captures.push(capture.clone());
            Ok(())
        });
        begun.map(|()| Running {
            captures: self.clone(),
            capture,
        })
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.now.captures.len()
    }

    fn change<E>(&self, change: impl FnOnce(&mut Vec<Arc<Capture>>) -> Result<(), E>) -> Result<(), E> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut captures = sets.now.captures.clone();
        change(&mut captures)?;
        let set = Arc::new(CaptureSet { captures });
        let before = std::mem::replace(&mut sets.now, set.clone());
        sets.before.push(before);
        for mailbox in self.mailboxes.iter() {
            mailbox.tell(Command::Capture(set.clone()));
        }
        drop(set);
        sets.tidy();
        Ok(())
    }

    /// Frees what workers have let go. Gives whether there is more to come.
    pub fn tidy(&self) -> bool {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).tidy()
    }
}

impl Running {
    /// What was begun.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.captures.change(|captures| {
            captures.retain(|capture| !Arc::ptr_eq(capture, &self.capture));
            Ok::<_, TooManyCaptures>(())
        });
    }
}
