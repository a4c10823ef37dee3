//! Network namespaces by name, and things that belong into one.
#![allow(unsafe_code)]

use std::{
    fmt,
    fs::File,
    io,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    os::fd::AsRawFd,
    path::Path,
    ptr,
};

use super::NamespaceError;
use crate::{receive::Receive, send::Transmit};

/// The network namespace of this thread.
const OWN: &str = "/proc/thread-self/ns/net";

fn set(file: &File) -> io::Result<()> {
    // SAFETY: changes the namespace of this thread alone.
    match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does something in the network namespace that `ip netns` knows by this name (none: in this thread's own), and comes back. What
/// comes of it stays [there](Homed): sockets belong to their namespace for good.
///
/// # Errors
/// [`NamespaceError`], or what `work` fails with.
pub fn within<T, E: From<NamespaceError>>(
    name: Option<&str>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<Homed<T>, E> {
    let own = || {
        File::open(OWN).map_err(|source| NamespaceError::Refused {
            name: "of this thread".to_owned(),
            source,
        })
    };
    let Some(name) = name else {
        let home = own()?;
        return Ok(Homed {
            thing: ManuallyDrop::new(work()?),
            home,
        });
    };
    let none = || NamespaceError::None(name.to_owned());
    let refused = |source| NamespaceError::Refused {
        name: name.to_owned(),
        source,
    };
    if name.is_empty() || name.contains('/') {
        return Err(none().into());
    }
    let home = match File::open(Path::new("/var/run/netns").join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none().into()),
        Err(error) => return Err(refused(error).into()),
    };
    let back = own()?;
    set(&home).map_err(refused)?;
    let result = work();
    set(&back).map_err(|source| NamespaceError::Back { source })?;
    Ok(Homed {
        thing: ManuallyDrop::new(result?),
        home,
    })
}

/// Something that was made in a network namespace and must be undone there, like a socket whose XDP program is taken off an
/// interface by number: in another namespace that number is another interface, or none.
pub struct Homed<T> {
    thing: ManuallyDrop<T>,
    home: File,
}

impl<T: fmt::Debug> fmt::Debug for Homed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.thing.fmt(f)
    }
}

impl<A, B> Homed<(A, B)> {
    /// Both on their own, at the same home.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn split(self) -> io::Result<(Homed<A>, Homed<B>)> {
        let second = self.home.try_clone()?;
        let mut both = ManuallyDrop::new(self);
        // SAFETY: `both` is never dropped nor used again, so that both parts of it move out once.
        let ((a, b), home) = unsafe { (ManuallyDrop::take(&mut both.thing), ptr::read(&both.home)) };
        let homed_a = Homed {
            thing: ManuallyDrop::new(a),
            home,
        };
        let homed_b = Homed {
            thing: ManuallyDrop::new(b),
            home: second,
        };
        Ok((homed_a, homed_b))
    }
}

impl<T: Transmit> Transmit for Homed<T> {
    fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
        self.thing.transmit(count, write)
    }

    fn pending(&mut self) -> io::Result<usize> {
        self.thing.pending()
    }
}

impl<T: Receive> Receive for Homed<T> {
    fn receive(&mut self, each: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize> {
        self.thing.receive(each)
    }

    fn dropped(&self) -> u64 {
        self.thing.dropped()
    }
}

impl<T> Deref for Homed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> DerefMut for Homed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing
    }
}

impl<T> Drop for Homed<T> {
    fn drop(&mut self) {
        let back = File::open(OWN);
        // The worst that can come of a failure is a program that stays behind on an interface.
        let _ = set(&self.home);
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.thing) };
        if let Ok(back) = back {
            let _ = set(&back);
        }
    }
}
