//! What watchers are told.

use crate::program::{Change, HealthStatus, NextHopStatus, PortStatus, Snapshot};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Workers use this revision now.
    Revision(u64),
    /// A port was added or changed.
    Port {
        port: u32,
        /// How it is attached; `None`: not at all.
        status: Option<PortStatus>,
        /// MTU in force, bytes.
        mtu: u16,
    },
    /// A port is gone.
    PortDeleted(u32),
    /// A next hop became usable or unusable.
    NextHop { next_hop: u64, status: NextHopStatus },
    /// A health check found out something else.
    Health { check: u32, status: HealthStatus },
    /// The watcher was too slow, and this many events are lost to it.
    Lost(u64),
}

impl Event {
    /// A change, with what became of its object. `None` where the object is gone by now, which has its own event.
    pub(super) fn of(change: &Change, snapshot: &Snapshot) -> Option<Self> {
        Some(match change {
            Change::Revision(revision) => Self::Revision(*revision),
            Change::Port(port) => Self::port(*port, snapshot)?,
            Change::PortDeleted(port) => Self::PortDeleted(*port),
            Change::NextHop(next_hop) => Self::NextHop {
                next_hop: *next_hop,
                status: snapshot.next_hop_status_of(*next_hop)?,
            },
            Change::Health(check) => Self::Health {
                check: *check,
                status: snapshot.health_of(*check)?.clone(),
            },
        })
    }

    /// How a port is.
    pub(super) fn port(port: u32, snapshot: &Snapshot) -> Option<Self> {
        let (status, mtu) = snapshot.port_status(port)?;
        Some(Self::Port {
            port,
            status: status.cloned(),
            mtu,
        })
    }
}
