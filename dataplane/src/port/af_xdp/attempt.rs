//! Opening an interface: which mode, with which fallback, and why.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use super::{
    AttachMode, Mode, OpenError, RingSizes,
    behind::Behind,
    features::Joining,
    interface::Interface,
    link::{Link, XdpState},
    program::{NAME_PREFIX, Program},
    socket::{Bind, Socket},
    umem::{self, Umem},
};

/// An interface with a program attached and a socket for each queue, which has yet to get its first frames.
pub(super) struct Opened {
    pub(super) link: Link,
    pub(super) mode: AttachMode,
    pub(super) zero_copy: bool,
    pub(super) sockets: Vec<Socket>,
    /// The choice and its reasons, in words.
    pub(super) why: String,
    /// Receives in place of the first socket, behind receive offloads.
    pub(super) behind: Option<(Behind, Joining)>,
}

/// Tries one way after the other to attach and to bind, and notes why it went on to the next.
pub(super) struct Attempt<'a> {
    pub(super) umem: &'a Umem,
    pub(super) interface: &'a Interface,
    pub(super) driver: &'a str,
    pub(super) state: &'a XdpState,
    pub(super) program: &'a Program,
    pub(super) queues: u32,
    pub(super) sizes: RingSizes,
    pub(super) notes: Vec<String>,
}

impl Attempt<'_> {
    /// Opens the interface as `mode` says.
    pub(super) fn run(mut self, mode: Mode) -> Result<Opened, OpenError> {
        if !matches!(mode, Mode::Generic | Mode::Packet)
            && let Some(link) = self.attach(AttachMode::Native)?
        {
            if (mode == Mode::NativeZeroCopy || (mode == Mode::Auto && self.claims_zero_copy()))
                && let Some(sockets) = self.bind_zero_copy()?
            {
                return Ok(self.opened(link, AttachMode::Native, true, sockets));
            }
            if mode != Mode::NativeZeroCopy {
                let sockets = self.bind(false)?;
                return Ok(self.opened(link, AttachMode::Native, false, sockets));
            }
        }
        if matches!(mode, Mode::Auto | Mode::Generic)
            && let Some(link) = self.attach(AttachMode::Generic)?
        {
            let sockets = self.bind(false)?;
            return Ok(self.opened(link, AttachMode::Generic, false, sockets));
        }
        Err(self.refused(mode))
    }

    /// Opens an uplink without XDP: by a packet socket behind receive offloads, with [programs for it](super::program::Kind::Behind). One socket
    /// receives all; sending is as ever. `None` when the kernel refuses, with its reason noted.
    pub(super) fn run_behind(&mut self) -> Result<Option<Opened>, OpenError> {
        let (index, name) = (self.interface.index, &self.interface.name);
        if !self.umem.takes_large() {
            self.notes
                .push("no packet sockets: packet memory has no large frames".to_owned());
            return Ok(None);
        }
        let opened = Interface::find(name).and_then(|interface| {
            let failed = |doing| move |error| OpenError::from_call(doing, name, error);
            let joining = Joining::start(interface).map_err(failed("switch on rx-gro and rx-udp-gro-forwarding"))?;
            let behind = self.program.filter(|filter| Behind::new(index, filter));
            let behind = behind.map_err(failed("open a packet socket"))?;
            let link = self.program.attach_behind(index);
            let link = link.map_err(failed("attach a program to what comes in (tcx, Linux 6.6)"))?;
            Ok((link, behind, joining))
        });
        let (link, behind, joining) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.notes.push(format!("no packet sockets: {error}"));
                return Ok(None);
            }
        };
        let sockets = self.bind(false)?;
        let mut opened = self.opened(link, AttachMode::Packet, false, sockets);
        opened.behind = Some((behind, joining));
        Ok(Some(opened))
    }

    /// The reasons so far, and that nothing is left to try.
    pub(super) fn refused(self, mode: Mode) -> OpenError {
        OpenError::Refused {
            name: self.interface.name.clone(),
            driver: self.driver.into(),
            mode,
            why: self.notes.join("; "),
        }
    }

    fn opened(&self, link: Link, mode: AttachMode, zero_copy: bool, sockets: Vec<Socket>) -> Opened {
        Opened {
            link,
            mode,
            zero_copy,
            sockets,
            why: self.why(mode, zero_copy),
            behind: None,
        }
    }

    fn claims_zero_copy(&mut self) -> bool {
        let claims = self.state.has_zero_copy();
        if !claims {
            self.notes.push(format!("driver {} has no zero-copy", self.driver));
        }
        claims
    }

    /// Attaches; `None` when the driver refuses, with its reason noted.
    fn attach(&mut self, mode: AttachMode) -> Result<Option<Link>, OpenError> {
        let name = &self.interface.name;
        if mode == AttachMode::Native && self.state.lacks_native() {
            self.notes.push(format!("driver {} runs no XDP programs", self.driver));
            return Ok(None);
        }
        let error = match self.program.attach(self.interface.index, mode) {
            Ok(link) => return Ok(Some(link)),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENODEV) => {
                Err(OpenError::from_call("attach the XDP program", name, error))
            }
            // Somebody was faster since we looked.
            Some(libc::EBUSY | libc::EEXIST) => {
                check_vacant(name, &XdpState::query(self.interface.index, name)?)?;
                Err(OpenError::from_call("attach the XDP program", name, error))
            }
            _ => {
                let words = self.program.refusal(self.interface.index, mode);
                let words = words.unwrap_or_else(|| hint(&error));
                self.notes.push(format!("{mode} mode refused: {words}"));
                Ok(None)
            }
        }
    }

    /// Binds without a copy; `None` when the driver refuses, with its reason noted.
    fn bind_zero_copy(&mut self) -> Result<Option<Vec<Socket>>, OpenError> {
        match self.bind(true) {
            Ok(sockets) => return Ok(Some(sockets)),
            Err(e @ (OpenError::QueueBusy { .. } | OpenError::Permission { .. })) => return Err(e),
            Err(OpenError::System { source, .. }) if source.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                self.notes.push(format!("driver {} has no zero-copy", self.driver));
            }
            Err(e) => self.notes.push(format!("no zero-copy: {e}")),
        }
        Ok(None)
    }

    fn bind(&self, zero_copy: bool) -> Result<Vec<Socket>, OpenError> {
        let mut sockets: Vec<Socket> = Vec::new();
        for queue in 0..self.queues {
            let first = sockets.first().and_then(Socket::fd);
            let socket = umem::while_busy(|| self.bind_queue(queue, zero_copy, first))?;
            sockets.push(socket);
        }
        Ok(sockets)
    }

    fn bind_queue(&self, queue: u32, zero_copy: bool, first: Option<BorrowedFd<'_>>) -> Result<Socket, OpenError> {
        let name = &self.interface.name;
        let fd = umem::new_socket(name)?;
        let memory = match (zero_copy, first) {
            (false, _) => Bind::Shared(self.umem.anchor()),
            (true, Some(first)) => Bind::Shared(first),
            (true, None) => {
                umem::register(fd.as_fd(), self.umem.pool())?;
                Bind::OwnZeroCopy
            }
        };
        Socket::open(fd, self.interface.index, queue, memory, zero_copy, &self.sizes)
            .map_err(|error| OpenError::from_bind(name, queue, error))
    }

    /// The choice in words.
    fn why(&self, mode: AttachMode, zero_copy: bool) -> String {
        let copy = match mode {
            AttachMode::Packet => "behind receive offload",
            _ if zero_copy => "zero-copy",
            _ => "copy",
        };
        let plural = if self.queues == 1 { "" } else { "s" };
        let mut words = format!("{mode}, {copy}, {} queue{plural}", self.queues);
        for (index, note) in self.notes.iter().enumerate() {
            words += if index == 0 { ": " } else { "; " };
            words += note;
        }
        if mode == AttachMode::Generic && !self.umem.takes_large() {
            words += if self.notes.is_empty() { ": " } else { "; " };
            words +=
                "segments larger than a frame are lost, so the sender's tso, gso and the interface's gro should be off";
        }
        words
    }
}

/// Nobody's program is attached that XDP would have to share with, and none of ours.
pub(super) fn check_vacant(name: &str, state: &XdpState) -> Result<(), OpenError> {
    let Some((id, program, mode)) = state.attached.clone() else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(if program.starts_with(NAME_PREFIX) {
        OpenError::AlreadyOurs {
            name,
            program,
            id,
            mode,
        }
    } else {
        OpenError::Occupied {
            name,
            program,
            id,
            mode,
        }
    })
}

/// What an errno of attaching usually means, for drivers that say no more.
fn hint(error: &io::Error) -> String {
    let meaning = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "the driver runs no XDP programs",
        Some(libc::ERANGE) => "the MTU is too large for XDP in this driver",
        Some(libc::ENOSPC | libc::ENOMEM) => "too few queues, or no memory for more",
        Some(libc::EINVAL) => "the interface's settings (MTU, LRO, number of queues) do not allow XDP",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
