//! Blocks of ports, and who owns them.
use super::pool::{BadPool, Exhausted, PoolSpec};
use std::net::IpAddr;

#[derive(Debug)]
pub(super) struct Blocks;

impl Blocks {
    pub(super) fn new(_spec: &PoolSpec) -> Result<Self, BadPool> {
        Ok(Self)
    }
    pub(super) fn give(&self, _: u16, _: IpAddr, _: Option<u16>, _: u32) -> Result<(IpAddr, u16), Exhausted> {
        Err(Exhausted::Blocks)
    }
    pub(super) fn take_back(&self, _: u16, _: IpAddr, _: IpAddr, _: u16) {}
    pub(super) fn adopt(&self, _: u16, _: IpAddr, _: u16, _: IpAddr, _: u16) -> bool {
        false
    }
    pub(super) fn usage(&self) -> (u64, u64) {
        (0, 0)
    }
}
