//! Who pays for a flow: its port and its VRF, as far as they may.

use super::InsertError;
use super::share::{Refused, Shares};
use super::table::FlowTable;
use crate::packet::key::FlowKey;

impl FlowTable {
    /// The VRF that pays for flows with this forward key: none for contexts that are not VRF slots (bridges).
    pub(super) fn vrf_of(&self, key: &FlowKey) -> Option<u16> {
        self.vrf_of_context(key.context())
    }

    /// As [`vrf_of`](Self::vrf_of), by the key's context.
    #[inline]
    pub(super) fn vrf_of_context(&self, context: u32) -> Option<u16> {
        let vrf = u16::try_from(context).ok()?;
        (usize::from(vrf) < self.vrfs.len()).then_some(vrf)
    }

    #[inline]
    pub(super) fn take_shares(&self, port: u16, vrf: Option<u16>) -> Result<(), InsertError> {
        let take = |shares: &Shares, slot: u16| match self.has_one_owner() {
            true => shares.take_alone(slot.into()),
            false => shares.take(slot.into()),
        };
        take(&self.ports, port).map_err(|refused| match refused {
            Refused::Unknown => self.no_such_port(port),
            Refused::UsedUp { limit } => InsertError::PortShareUsed { port, limit },
        })?;
        if let Some(vrf) = vrf
            && let Err(Refused::UsedUp { limit }) = take(&self.vrfs, vrf)
        {
            self.ports.give_back(port.into(), 1);
            return Err(InsertError::VrfShareUsed { vrf, limit });
        }
        Ok(())
    }

    pub(super) fn give_back_shares(&self, port: u16, vrf: Option<u16>, count: u32) {
        self.ports.give_back(port.into(), count);
        if let Some(vrf) = vrf {
            self.vrfs.give_back(vrf.into(), count);
        }
    }

    pub(super) fn no_such_port(&self, port: u16) -> InsertError {
        InsertError::NoSuchPort {
            port,
            ports: self.ports.len(),
        }
    }

    /// Bounds the flows of a port; flows beyond a lowered limit live on. There is no bound before.
    ///
    /// # Errors
    /// [`InsertError::NoSuchPort`].
    pub fn set_port_limit(&self, port: u16, limit: u32) -> Result<(), InsertError> {
        if self.ports.set_limit(port.into(), limit) {
            Ok(())
        } else {
            Err(self.no_such_port(port))
        }
    }

    /// The limit of a port: `u32::MAX` if none was set, 0 for a port that the table does not know.
    #[must_use]
    pub fn port_limit(&self, port: u16) -> u32 {
        self.ports.limit(port.into())
    }

    /// How many flows a port pays for.
    #[must_use]
    pub fn port_flows(&self, port: u16) -> u32 {
        self.ports.used(port.into())
    }

    /// Bounds the flows whose forward direction begins in a VRF; flows beyond a lowered limit live on. There is no bound before. Gives
    /// false for a slot that the table was not built for.
    pub fn set_vrf_limit(&self, vrf: u16, limit: u32) -> bool {
        self.vrfs.set_limit(vrf.into(), limit)
    }

    /// The limit of a VRF: `u32::MAX` if none was set, 0 for a slot that the table does not know.
    #[must_use]
    pub fn vrf_limit(&self, vrf: u16) -> u32 {
        self.vrfs.limit(vrf.into())
    }

    /// How many flows a VRF pays for.
    #[must_use]
    pub fn vrf_flows(&self, vrf: u16) -> u32 {
        self.vrfs.used(vrf.into())
    }
}
