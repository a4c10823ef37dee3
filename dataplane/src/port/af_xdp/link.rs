//! Attaching a program to an interface by a BPF link, which ends when its descriptor does: whatever becomes of the process,
//! the interface is itself again.
#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use libbpf_rs::libbpf_sys::{
    self, BPF_XDP, XDP_ATTACHED_DRV, XDP_ATTACHED_HW, XDP_ATTACHED_SKB, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE,
};

use super::{AttachMode, error::OpenError, program::NAME_PREFIX};

/// Bits of `enum netdev_xdp_act`: what a driver says it can.
const FEATURE_NATIVE: u64 = 1;
const FEATURE_ZERO_COPY: u64 = 1 << 3;

/// In place of a program's name, which the kernel tells only to those with this capability.
const NAME_HIDDEN: &str = "name hidden without CAP_SYS_ADMIN";

/// What the kernel says of XDP on an interface.
#[derive(Debug)]
pub(super) struct XdpState {
    /// The program attached: its id, its name, where it runs. Of those behind receive offloads only ours: others may be there as well.
    pub(super) attached: Option<(u32, String, AttachMode)>,
    /// The driver's features; `None` when the kernel does not tell (before Linux 6.3).
    features: Option<u64>,
}

impl XdpState {
    /// Asks for the interface in the thread's network namespace.
    pub(super) fn query(ifindex: u32, name: &str) -> Result<Self, OpenError> {
        let mut answer = libbpf_sys::bpf_xdp_query_opts {
            sz: size_of::<libbpf_sys::bpf_xdp_query_opts>() as libbpf_sys::size_t,
            ..Default::default()
        };
        // SAFETY: the struct says its own size.
        let status = unsafe { libbpf_sys::bpf_xdp_query(ifindex as libc::c_int, 0, &mut answer) };
        if status < 0 {
            let error = io::Error::from_raw_os_error(-status);
            return Err(OpenError::from_call("ask for the XDP program", name, error));
        }
        let programs = [
            (XDP_ATTACHED_DRV, answer.drv_prog_id, AttachMode::Native),
            (XDP_ATTACHED_SKB, answer.skb_prog_id, AttachMode::Generic),
            (XDP_ATTACHED_HW, answer.hw_prog_id, AttachMode::Offloaded),
        ];
        let attached = programs.into_iter().find_map(|(kind, id, mode)| {
            // With a single program older kernels fill in `prog_id` alone.
            let id = if id == 0 && u32::from(answer.attach_mode) == kind {
                answer.prog_id
            } else {
                id
            };
            (id != 0).then(|| (id, program_name(id).unwrap_or_else(|| NAME_HIDDEN.into()), mode))
        });
        let attached = attached.or_else(|| {
            let (id, name) = at_ingress(ifindex, NAME_PREFIX)?;
            Some((id, name, AttachMode::Packet))
        });
        Ok(Self {
            attached,
            features: (answer.feature_flags != 0).then_some(answer.feature_flags),
        })
    }

    /// The driver says that it runs no XDP programs.
    pub(super) fn lacks_native(&self) -> bool {
        self.features.is_some_and(|features| features & FEATURE_NATIVE == 0)
    }

    /// The driver says that it can do zero-copy.
    pub(super) fn has_zero_copy(&self) -> bool {
        self.features.is_some_and(|features| features & FEATURE_ZERO_COPY != 0)
    }
}

fn program_name(id: u32) -> Option<String> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = size_of_val(&info) as u32;
    // SAFETY: the descriptor is new and ours; the kernel writes at most `length` bytes, none beyond it as no pointer is set.
    unsafe {
        let fd = libbpf_sys::bpf_prog_get_fd_by_id(id);
        if fd < 0 {
            return None;
        }
        let fd = OwnedFd::from_raw_fd(fd);
        if libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut length) != 0 {
            return None;
        }
    }
    // SAFETY: the kernel ends the name with a zero within its 16 bytes.
    let name = unsafe { CStr::from_ptr(info.name.as_ptr()) };
    Some(name.to_string_lossy().into_owned())
}

/// A program's hold on an interface, until it is dropped.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Drop for Link {
    fn drop(&mut self) {
        // Closing would do, but a child that is between fork and exec has a copy of the descriptor for a moment.
        // SAFETY: a plain call on a descriptor that is ours.
        unsafe {
            libbpf_sys::bpf_link_detach(self.0.as_raw_fd());
        }
    }
}

/// Attaches the program.
pub(super) fn attach(program: BorrowedFd<'_>, ifindex: u32, mode: AttachMode) -> io::Result<Link> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags: flags(mode),
        ..Default::default()
    };
    // SAFETY: the struct says its own size; the descriptor that comes back is new and ours.
    unsafe {
        let fd = libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            ifindex as libc::c_int,
            BPF_XDP,
            ptr::from_ref(&options),
        );
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        Ok(Link(OwnedFd::from_raw_fd(fd)))
    }
}

/// Attaches a program to what comes in by an interface, behind receive offloads and packet sockets and before all others (tcx, Linux 6.6).
pub(super) fn attach_ingress(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<Link> {
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags: libbpf_sys::BPF_F_BEFORE,
        ..Default::default()
    };
    // SAFETY: the struct says its own size; the descriptor that comes back is new and ours.
    unsafe {
        let fd = libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            ifindex as libc::c_int,
            libbpf_sys::BPF_TCX_INGRESS,
            ptr::from_ref(&options),
        );
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        Ok(Link(OwnedFd::from_raw_fd(fd)))
    }
}

/// Id and name of the first program whose name starts so, of those that look at what comes in by an interface. None, too, where the kernel knows of
/// no such programs.
pub(super) fn at_ingress(ifindex: u32, prefix: &str) -> Option<(u32, String)> {
    let mut ids = [0_u32; 64];
    let mut answer = libbpf_sys::bpf_prog_query_opts {
        sz: size_of::<libbpf_sys::bpf_prog_query_opts>() as libbpf_sys::size_t,
        prog_ids: ids.as_mut_ptr(),
        ..Default::default()
    };
    answer.__bindgen_anon_1.count = ids.len() as u32;
    // SAFETY: the struct says its own size, and how many ids there is room for.
    let count = unsafe {
        let target = ifindex as libc::c_int;
        if libbpf_sys::bpf_prog_query_opts(target, libbpf_sys::BPF_TCX_INGRESS, &mut answer) != 0 {
            return None;
        }
        answer.__bindgen_anon_1.count
    };
    let named = ids.iter().take(count as usize).map(|id| (*id, program_name(*id)));
    named
        .filter_map(|(id, name)| Some((id, name?)))
        .find(|(_, name)| name.starts_with(prefix))
}

/// The kernel's flag for the mode.
pub(super) fn flags(mode: AttachMode) -> u32 {
    match mode {
        AttachMode::Native => XDP_FLAGS_DRV_MODE,
        AttachMode::Generic => XDP_FLAGS_SKB_MODE,
        AttachMode::Packet => 0,
        AttachMode::Offloaded => libbpf_sys::XDP_FLAGS_HW_MODE,
    }
}
