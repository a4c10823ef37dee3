//! Receive offloads that the kernel does itself, of an interface: joining the datagrams of a flow (GRO).
#![allow(unsafe_code)]

use std::io;

use super::interface::Interface;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;

/// `ETH_SS_FEATURES`: names of features.
const NAMES_OF_FEATURES: u32 = 4;

/// Blocks of 32 features that there is room for. Linux 6.18 has two.
const BLOCKS: usize = 4;

/// What is wanted: joining at all, and joining of UDP for which the host has no socket.
const WANTED: [&str; 2] = ["rx-gro", "rx-udp-gro-forwarding"];

/// `struct ethtool_gstrings` of `linux/ethtool.h`.
#[repr(C)]
struct Names {
    command: u32,
    set: u32,
    length: u32,
    names: [[u8; 32]; BLOCKS * 32],
}

/// `struct ethtool_get_features_block`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct State {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// `struct ethtool_gfeatures`.
#[repr(C)]
struct States {
    command: u32,
    size: u32,
    blocks: [State; BLOCKS],
}

/// `struct ethtool_set_features_block`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Change {
    valid: u32,
    requested: u32,
}

/// `struct ethtool_sfeatures`.
#[repr(C)]
struct Changes {
    command: u32,
    size: u32,
    blocks: [Change; BLOCKS],
}

/// An interface whose kernel joins datagrams. When this is dropped, the interface is as it was. (What a process that is killed leaves behind is an
/// interface that goes on joining, which is what those who send, forward or receive UDP may see as well: as the same datagrams.)
#[derive(Debug)]
pub(super) struct Joining {
    interface: Interface,
    /// Blocks that the kernel's features take.
    size: usize,
    /// Numbers of the features that were off.
    changed: Vec<usize>,
}

impl Joining {
    /// Switches on what is off.
    ///
    /// # Errors
    /// The kernel cannot join, or not for this interface.
    pub(super) fn start(interface: Interface) -> io::Result<Self> {
        let (names, size) = names(&interface)?;
        let states = states(&interface, size)?;
        let mut joining = Self {
            interface,
            size,
            changed: Vec::new(),
        };
        for wanted in WANTED {
            let number = names.iter().position(|name| name == wanted);
            let number = number.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, format!("no {wanted}")))?;
            let state = states.get(number / 32).copied().unwrap_or_default();
            let bit = 1 << (number % 32);
            if state.active & bit != 0 {
                continue;
            }
            joining.changed.push(number);
            set(&joining.interface, size, number, true)?;
        }
        let states = self::states(&joining.interface, size)?;
        for number in &joining.changed {
            let active = states
                .get(number / 32)
                .is_some_and(|state| state.active & 1 << (number % 32) != 0);
            if !active {
                let name = names.get(*number).map_or("it", String::as_str);
                return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{name} stays off")));
            }
        }
        Ok(joining)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        for number in self.changed.drain(..).rev() {
            // Not there any more when the interface was deleted.
            let _ = set(&self.interface, self.size, number, false);
        }
    }
}

/// Names of the kernel's features by number, and blocks that they take.
fn names(interface: &Interface) -> io::Result<(Vec<String>, usize)> {
    // The kernel writes as many names as it has, whatever room there is.
    let count = count(interface)?;
    let size = count.div_ceil(32);
    if size > BLOCKS {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{count} features")));
    }
    let mut answer = Box::new(Names {
        command: ETHTOOL_GSTRINGS,
        set: NAMES_OF_FEATURES,
        length: count as u32,
        names: [[0; 32]; _],
    });
    // SAFETY: the struct of this command, with room for what was counted.
    unsafe { interface.ethtool(&mut *answer) }?;
    let names = answer.names.iter().take(count).map(|name| {
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned()
    });
    Ok((names.collect(), size))
}

/// Features that the kernel has.
fn count(interface: &Interface) -> io::Result<usize> {
    const ETHTOOL_GSSET_INFO: u32 = 0x37;
    /// `struct ethtool_sset_info`, asked for one set.
    #[repr(C)]
    struct Count {
        command: u32,
        reserved: u32,
        mask: u64,
        count: u32,
        padding: u32,
    }
    let mut answer = Count {
        command: ETHTOOL_GSSET_INFO,
        reserved: 0,
        mask: 1 << NAMES_OF_FEATURES,
        count: 0,
        padding: 0,
    };
    // SAFETY: the struct of this command: one number for one set.
    unsafe { interface.ethtool(&mut answer) }?;
    match answer.mask {
        0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(answer.count as usize),
    }
}

fn states(interface: &Interface, size: usize) -> io::Result<[State; BLOCKS]> {
    let mut answer = States {
        command: ETHTOOL_GFEATURES,
        size: size as u32,
        blocks: [State::default(); _],
    };
    // SAFETY: the struct of this command; the kernel writes at most `size` blocks, for which `names` has seen room.
    unsafe { interface.ethtool(&mut answer) }?;
    Ok(answer.blocks)
}

fn set(interface: &Interface, size: usize, number: usize, on: bool) -> io::Result<()> {
    let mut request = Changes {
        command: ETHTOOL_SFEATURES,
        size: size as u32,
        blocks: [Change::default(); _],
    };
    let bit = 1 << (number % 32);
    if let Some(block) = request.blocks.get_mut(number / 32) {
        *block = Change {
            valid: bit,
            requested: if on { bit } else { 0 },
        };
    }
    // SAFETY: the struct of this command, which the kernel reads as far as `size` says.
    unsafe { interface.ethtool(&mut request) }
}
