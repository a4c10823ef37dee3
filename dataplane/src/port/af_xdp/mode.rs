//! How an interface is opened: what was asked for and what came of it.

use std::{fmt, str::FromStr};

use super::OpenError;

/// How to attach to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The best that works: native with zero-copy, packet sockets for an uplink that XDP would copy packet by packet, native with copy, generic.
    #[default]
    Auto,
    /// The program in the driver, frames copied.
    Native,
    /// The program in the driver, the NIC writes to our frames.
    NativeZeroCopy,
    /// The program in the network stack, behind any driver. Slower.
    Generic,
    /// No XDP: received by a packet socket behind the kernel's receive offload. Uplinks only.
    Packet,
}

impl Mode {
    /// All modes, for help texts.
    pub const ALL: [Mode; 5] = [
        Mode::Auto,
        Mode::Native,
        Mode::NativeZeroCopy,
        Mode::Generic,
        Mode::Packet,
    ];

    /// The word for it in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Native => "native",
            Mode::NativeZeroCopy => "native-zc",
            Mode::Generic => "generic",
            Mode::Packet => "packet",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The word is no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no XDP mode: auto, native, native-zc, generic or packet")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| UnknownMode(word.into()))
    }
}

/// Where it is decided what is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// In the network stack, behind receive offloads; no XDP.
    Packet,
    /// In the NIC. Never ours.
    Offloaded,
}

impl AttachMode {
    /// The keyword of `ip link set`.
    pub(super) const fn ip_link_word(self) -> &'static str {
        match self {
            AttachMode::Native => "xdpdrv",
            AttachMode::Generic | AttachMode::Packet => "xdpgeneric",
            AttachMode::Offloaded => "xdpoffload",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachMode::Native => "native",
            AttachMode::Generic => "generic",
            AttachMode::Packet => "packet",
            AttachMode::Offloaded => "offloaded",
        })
    }
}

/// Entries of the rings of each queue, which bound the frames a queue holds: `fill` for receiving, `tx` + `completion` for
/// sending. Powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// Empty frames that wait to be received into.
    pub fill: u32,
    /// Received frames.
    pub rx: u32,
    /// Frames to send.
    pub tx: u32,
    /// Sent frames that come back.
    pub completion: u32,
}

impl RingSizes {
    /// For the port of one container or VM: a node has many, and most are quiet. The receiving rings have room for packets of 60 KB, of
    /// 40 chunks each; a port gets that many frames only while it uses them up.
    pub const ACCESS: Self = Self {
        fill: 2048,
        rx: 2048,
        tx: 256,
        completion: 256,
    };

    /// For an uplink, which carries what all access ports carry.
    pub const UPLINK: Self = Self {
        fill: 2048,
        rx: 2048,
        tx: 2048,
        completion: 2048,
    };

    /// Frames that the kernel gets to receive into while a workload's port is quiet.
    pub fn first_fill(&self) -> u32 {
        self.fill.min(256)
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let rings = [
            ("fill", self.fill),
            ("receive", self.rx),
            ("transmit", self.tx),
            ("completion", self.completion),
        ];
        for (ring, size) in rings {
            if !size.is_power_of_two() || !(2..=32768).contains(&size) {
                return Err(OpenError::RingSize { ring, size });
            }
        }
        Ok(())
    }
}

/// How an interface was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the interface when it was opened.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Its driver, such as `veth`.
    pub driver: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its MTU, bytes, when it was opened.
    pub mtu: u32,
    /// Where the program runs.
    pub mode: AttachMode,
    /// The NIC writes to our frames; no copy.
    pub zero_copy: bool,
    /// Receive queues, each with its own socket.
    pub queues: u32,
    /// The choice and its reasons, in words.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_spoken_and_read() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!(
            "skb".parse::<Mode>().unwrap_err().to_string(),
            "'skb' is no XDP mode: auto, native, native-zc, generic or packet"
        );
    }

    #[test]
    fn ring_sizes_are_powers_of_two() {
        assert!(RingSizes::ACCESS.check().is_ok());
        assert!(RingSizes::UPLINK.check().is_ok());
        for tx in [0, 1, 3, 65536] {
            let error = RingSizes {
                tx,
                ..RingSizes::ACCESS
            }
            .check()
            .unwrap_err();
            assert!(error.to_string().contains("transmit ring"), "{error}");
        }
    }
}
