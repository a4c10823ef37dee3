//! Network namespaces by name.
#![allow(unsafe_code)]

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use super::NamespaceError;

/// Moves this thread into the network namespace that `ip netns` knows by this name. Sockets opened on it belong there for good.
///
/// # Errors
/// [`NamespaceError`].
pub fn enter(name: &str) -> Result<(), NamespaceError> {
    let none = || NamespaceError::None(name.to_owned());
    if name.is_empty() || name.contains('/') {
        return Err(none());
    }
    let refused = |source| NamespaceError::Refused {
        name: name.to_owned(),
        source,
    };
    let file = match File::open(Path::new("/var/run/netns").join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
        Err(error) => return Err(refused(error)),
    };
    // SAFETY: changes the namespace of this thread alone.
    match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(refused(io::Error::last_os_error())),
    }
}
