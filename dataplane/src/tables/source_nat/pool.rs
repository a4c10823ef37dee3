//! What gives out outside addresses and ports.

use std::{net::IpAddr, sync::Arc};

use super::{
    super::sync::{AtomicU64, Ordering},
    blocks::Blocks,
};
use crate::{
    tables::{memory::TableError, slots::VrfSlot},
    wire::proto,
};

/// Most outside addresses of a pool.
pub const MAX_ADDRESSES: usize = 256;

/// Most blocks that one source may own.
pub const MAX_BLOCKS_PER_SOURCE: u16 = 256;

/// How often a flow may ask for another port, the first time included. A source whose ports all lead where the flow wants to go is refused then.
pub const MAX_ATTEMPTS: u32 = 32;

/// What a pool has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Outside addresses, all of one family, 1 to [`MAX_ADDRESSES`].
    pub addresses: Arc<[IpAddr]>,
    /// One source, one address: ports are kept, and the other fields mean nothing.
    pub one_to_one: bool,
    /// First port to give out, 1 or more.
    pub first_port: u16,
    /// Last port to give out.
    pub last_port: u16,
    /// Ports of a block: a power of two, 8 to 4096.
    pub block_size: u16,
    /// Blocks that one source may own, 1 to [`MAX_BLOCKS_PER_SOURCE`].
    pub blocks_per_source: u16,
}

impl PoolSpec {
    /// One address for one: ports are kept.
    pub fn one_to_one(address: IpAddr) -> Self {
        Self {
            addresses: Arc::from([address]),
            one_to_one: true,
            ..Self::blocks(Arc::from([]))
        }
    }

    /// Blocks of 64 of the ports 1024 to 65535, 16 blocks for each source.
    pub fn blocks(addresses: Arc<[IpAddr]>) -> Self {
        Self {
            addresses,
            one_to_one: false,
            first_port: 1024,
            last_port: u16::MAX,
            block_size: 64,
            blocks_per_source: 16,
        }
    }
}

/// Why a spec makes no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPool {
    /// No or too many addresses.
    #[error("{0} outside addresses: give 1 to {max}, for one source exactly 1", max = MAX_ADDRESSES)]
    Addresses(usize),
    /// Addresses of both families.
    #[error("the outside addresses are of both families: give IPv4 or IPv6")]
    Families,
    /// The same address twice.
    #[error("{0} is there twice")]
    Twice(IpAddr),
    /// Size of blocks.
    #[error("{0} ports make no block: give a power of two from 8 to 4096")]
    BlockSize(u16),
    /// Blocks per source.
    #[error("a source may own {0} blocks: give 1 to {max}; larger blocks give a source more ports", max = MAX_BLOCKS_PER_SOURCE)]
    BlocksPerSource(u16),
    /// Not one block.
    #[error("ports {first} to {last} hold no block of {size} ports")]
    Ports {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// Ports of a block.
        size: u16,
    },
    /// The machine refused.
    #[error(transparent)]
    Memory(#[from] TableError),
}

/// A flow gets no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// The source owns as many blocks as it may, and all its ports that were tried lead to where the flow wants to go.
    #[error("the source has used all ports that it may have")]
    Source,
    /// The source needs a block and none is free.
    #[error("no block of ports is free")]
    Blocks,
}

/// How much of a pool is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Blocks that there are; 0 for a pool that keeps ports.
    pub blocks: u64,
    /// Blocks that a source owns.
    pub blocks_used: u64,
    /// Flows refused for [`Exhausted::Source`].
    pub refused_source: u64,
    /// Flows refused for [`Exhausted::Blocks`].
    pub refused_blocks: u64,
}

/// Gives out outside addresses and ports to the sources of one VRF. Shared by all workers, without locks, in memory taken at start.
///
/// **Blocks.** The ports of each outside address are cut into blocks. A source owns whole blocks, the first one from its first flow on,
/// and further ones as it needs them: so what it did can be told from few records, and what it may take is bounded.
///
/// **Mapping** (RFC 4787, section 4.1). A source's port keeps its outside port for all destinations while it has a flow (endpoint-independent),
/// for all protocols the same. The low bits of a port stay the same where such a port is free in the block (which also keeps its parity,
/// but neither is promised; the port itself is in a block only by chance). A source stays on one outside address as long as that has free
/// blocks (paired). When a source may have no more blocks, its ports are shared by flows towards different destinations.
///
/// **Filtering** (section 5) is the flow table's: only answers of those that were asked come in.
///
/// Every answer of [`translate`](Self::translate) must be [released](Self::release) once: when its flow ends, or at once when no flow could be
/// made of it.
#[derive(Debug)]
pub struct Pool {
    spec: Arc<PoolSpec>,
    /// `None`: ports are kept.
    blocks: Option<Arc<Blocks>>,
    /// Tells apart equal addresses of different VRFs.
    realm: u16,
    /// Tells it from the pools before it.
    tag: u8,
    refused_source: AtomicU64,
    refused_blocks: AtomicU64,
}

/// The tag of the pool that is made next.
static NEXT_TAG: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

impl Pool {
    /// A pool for sources of a VRF.
    ///
    /// # Errors
    /// What is wrong with the spec, or that there is no memory.
    pub fn new(spec: &PoolSpec, inside: VrfSlot) -> Result<Self, BadPool> {
        check(spec)?;
        let blocks = match spec.one_to_one {
            true => None,
            false => Some(Arc::new(Blocks::new(spec)?)),
        };
        Ok(Self::over(Arc::new(spec.clone()), blocks, inside))
    }

    /// A pool for sources of another VRF that gives out what this one has.
    #[must_use]
    pub fn beside(&self, inside: VrfSlot) -> Self {
        Self::over(self.spec.clone(), self.blocks.clone(), inside)
    }

    fn over(spec: Arc<PoolSpec>, blocks: Option<Arc<Blocks>>, inside: VrfSlot) -> Self {
        Self {
            spec,
            blocks,
            realm: inside.raw(),
            tag: NEXT_TAG.fetch_add(1, Ordering::Relaxed),
            refused_source: AtomicU64::new(0),
            refused_blocks: AtomicU64::new(0),
        }
    }

    /// What it was made from.
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// Tells this pool from those that were in its place before: no two of any 256 that were made one after another have the same. (A
    /// pool's place in memory does not tell: the next one may get the same.)
    #[inline]
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// Ports are kept: packets may begin from outside, too, to the one source.
    pub fn is_one_to_one(&self) -> bool {
        self.blocks.is_none()
    }

    /// An outside address and port for a new flow. `source_port` is the identifier of an ICMP echo, and ignored where the protocol has neither: then
    /// the answer's port is 0, and only the address is translated.
    ///
    /// With `attempt` above 0: the key of the answers was taken with what was given before (which is to be
    /// [released](Self::release) first); gives another port. Count attempts up by one until an answer fits or there is none.
    ///
    /// # Errors
    /// There is no port to give, or there were [`MAX_ATTEMPTS`]. Counted.
    pub fn translate(
        &self,
        source: IpAddr,
        source_port: u16,
        protocol: u8,
        attempt: u32,
    ) -> Result<(IpAddr, u16), Exhausted> {
        let given = match (&self.blocks, self.spec.addresses.first()) {
            (Some(blocks), _) if attempt < MAX_ATTEMPTS => {
                let port = has_ports(protocol).then_some(source_port);
                blocks.give(self.realm, source, port, attempt)
            }
            (None, Some(address)) if attempt == 0 => Ok((*address, source_port)),
            _ => Err(Exhausted::Source),
        };
        given.inspect_err(|why| {
            let counter = match why {
                Exhausted::Source => &self.refused_source,
                Exhausted::Blocks => &self.refused_blocks,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Asks for the memory that [`translate`](Self::translate) will read first for a source. Do this for all new flows of a batch, then
    /// [`prefetch_ports`](Self::prefetch_ports) for all.
    pub fn prefetch_source(&self, source: IpAddr) {
        if let Some(blocks) = &self.blocks {
            blocks.prefetch_source(self.realm, source);
        }
    }

    /// Asks for the memory of the ports among which a source's port will be given one.
    pub fn prefetch_ports(&self, source: IpAddr, source_port: u16) {
        if let Some(blocks) = &self.blocks {
            blocks.prefetch_ports(self.realm, source, source_port);
        }
    }

    /// Asks for the memory that [`release`](Self::release) will read.
    pub fn prefetch_release(&self, outside: IpAddr, port: u16) {
        if let Some(blocks) = &self.blocks {
            blocks.prefetch_back(outside, port);
        }
    }

    /// Takes back what was [given](Self::translate). The block is free again when nothing of it is used any more. What this
    /// source does not have (because the pool was replaced meanwhile) is ignored.
    pub fn release(&self, source: IpAddr, outside: IpAddr, port: u16) {
        if let Some(blocks) = &self.blocks {
            blocks.take_back(self.realm, source, outside, port);
        }
    }

    /// Takes on a translation that was given by another pool, so that a flow can keep it. It is to be released here then. `false` if this pool does not have the port, or has
    /// given its block to another source: the flow must be translated anew.
    pub fn adopt(&self, source: IpAddr, source_port: u16, outside: IpAddr, port: u16) -> bool {
        match &self.blocks {
            Some(blocks) => blocks.adopt(self.realm, source, source_port, outside, port),
            None => self.spec.addresses.first() == Some(&outside) && source_port == port,
        }
    }

    /// How much of it is used, by all that share it; and what was refused here.
    pub fn statistics(&self) -> PoolStatistics {
        let (blocks, blocks_used) = self.blocks.as_ref().map_or((0, 0), |blocks| blocks.usage());
        PoolStatistics {
            blocks,
            blocks_used,
            refused_source: self.refused_source.load(Ordering::Relaxed),
            refused_blocks: self.refused_blocks.load(Ordering::Relaxed),
        }
    }
}

fn has_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        proto::TCP | proto::UDP | proto::SCTP | proto::ICMP | proto::ICMPV6
    )
}

fn check(spec: &PoolSpec) -> Result<(), BadPool> {
    let count = spec.addresses.len();
    if count == 0 || count > MAX_ADDRESSES || spec.one_to_one && count > 1 {
        return Err(BadPool::Addresses(count));
    }
    let mut seen = spec.addresses.to_vec();
    seen.sort_unstable();
    for pair in seen.windows(2) {
        match pair {
            [a, b] if a == b => return Err(BadPool::Twice(*a)),
            [a, b] if a.is_ipv4() != b.is_ipv4() => return Err(BadPool::Families),
            _ => {}
        }
    }
    if spec.one_to_one {
        return Ok(());
    }
    let (first, last, size) = (spec.first_port, spec.last_port, spec.block_size);
    if !size.is_power_of_two() || !(8..=4096).contains(&size) {
        return Err(BadPool::BlockSize(size));
    }
    if !(1..=MAX_BLOCKS_PER_SOURCE).contains(&spec.blocks_per_source) {
        return Err(BadPool::BlocksPerSource(spec.blocks_per_source));
    }
    // Port 0 says that there is none.
    if first == 0 || last < first || u32::from(last - first) + 1 < u32::from(size) {
        return Err(BadPool::Ports { first, last, size });
    }
    Ok(())
}

#[cfg(all(test, not(vrouter_loom)))]
impl Pool {
    /// Sources that own something, and holders of blocks.
    pub(super) fn audit(&self) -> (usize, u64) {
        self.blocks.as_ref().map_or((0, 0), |blocks| blocks.audit())
    }
}
