//! Limits and marks of a port: token buckets in whole numbers, the bounds of a shaper's queue, and the DSCP to write.
//!
//! A bucket is one atomic word, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371): no timer fills
//! it, workers that share it never wait for each other, and what may pass in any interval is at most rate times time, plus the burst.
//! Times come from the caller; frames are not known here.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Time is counted in sixteenths of a nanosecond: a byte at 100 Gbit/s takes 1.28 of them.
const TICKS_PER_NANOSECOND: u64 = 16;

/// Costs are kept with this many fractional bits.
const FRACTION: u32 = 32;

const NANOSECONDS: u64 = 1_000_000_000;

/// Least burst: a frame of the largest size that networks carry. A workload's packet of many segments may be larger: it passes when the
/// bucket is full, and is paid for afterwards.
const LARGEST_FRAME: u64 = 9216 + 22;

/// Burst where none is given: what comes in this time, but at least [`LEAST_BURST_BYTES`] or [`LEAST_BURST_PACKETS`].
const DEFAULT_BURST_NANOSECONDS: u64 = 10_000_000;
const LEAST_BURST_BYTES: u64 = 64 << 10;
const LEAST_BURST_PACKETS: u64 = 64;

/// Shaper's queue where none is given: what goes out in this time, but at least as much as the least burst.
const DEFAULT_QUEUE_NANOSECONDS: u64 = 50_000_000;

/// A limit, as a client says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Bits per second, counted from the Ethernet header on. 0: no limit.
    pub bits_per_second: u64,
    /// Packets per second. 0: no limit.
    pub packets_per_second: u64,
    /// Bytes that may come at once beyond the rate. 0: a default. Never less than one frame of the largest size.
    pub burst_bytes: u64,
    /// Packets that may come at once beyond the rate. 0: a default.
    pub burst_packets: u64,
    /// Hold packets back instead of dropping them. Only towards a workload.
    pub shape: bool,
    /// Bytes that a shaper holds at most. 0: a default.
    pub queue_bytes: u64,
}

impl Rate {
    /// It limits nothing.
    pub fn is_unlimited(&self) -> bool {
        self.bits_per_second == 0 && self.packets_per_second == 0
    }
}

/// Limits and marks of a port, as a client says them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QosSpec {
    /// Of what the workload sends.
    pub from_workload: Option<Rate>,
    /// Of what is sent to the workload.
    pub to_workload: Option<Rate>,
    /// DSCP (0..=63) written into what the workload sends.
    pub dscp: Option<u8>,
}

/// Limits and marks of a port, at work. Buckets are shared by all revisions whose limit is the same.
#[derive(Clone, Debug)]
pub struct Qos {
    /// Limit of what the workload sends: beyond it is dropped.
    pub from_workload: Option<Arc<Meter>>,
    /// Limit of what is sent to the workload.
    pub to_workload: Option<Arc<Meter>>,
    /// DSCP (0..=63) written into what the workload sends.
    pub dscp: Option<u8>,
}

impl Qos {
    /// Puts limits to work. Where a limit is the same as in `before`, its bucket goes on as full as it is: an update of something
    /// else gives no workload a new burst.
    pub fn new(spec: &QosSpec, before: Option<&Self>) -> Self {
        let meter = |rate: Option<Rate>, before: Option<&Arc<Meter>>| {
            let rate = rate.filter(|rate| !rate.is_unlimited())?;
            Some(match before.filter(|before| before.rate == rate) {
                Some(before) => before.clone(),
                None => Arc::new(Meter::new(rate)),
            })
        };
        Self {
            from_workload: meter(spec.from_workload, before.and_then(|b| b.from_workload.as_ref())),
            to_workload: meter(spec.to_workload, before.and_then(|b| b.to_workload.as_ref())),
            dscp: spec.dscp.map(|dscp| dscp & 0x3f),
        }
    }
}

/// One limit at work: a bucket for bytes and one for packets.
#[derive(Debug)]
pub struct Meter {
    rate: Rate,
    bytes: Option<Bucket>,
    packets: Option<Bucket>,
    queue_bytes: u64,
}

impl Meter {
    /// A limit whose buckets are full.
    pub fn new(rate: Rate) -> Self {
        let within = |per_second: u64, nanoseconds: u64| {
            (u128::from(per_second) * u128::from(nanoseconds) / u128::from(NANOSECONDS)) as u64
        };
        let bytes_per_second = rate.bits_per_second / 8;
        let bytes = (rate.bits_per_second > 0).then(|| {
            let burst = match rate.burst_bytes {
                0 => within(bytes_per_second, DEFAULT_BURST_NANOSECONDS).max(LEAST_BURST_BYTES),
                burst => burst.max(LARGEST_FRAME),
            };
            Bucket::new(8, rate.bits_per_second, burst)
        });
        let packets = (rate.packets_per_second > 0).then(|| {
            let burst = match rate.burst_packets {
                0 => within(rate.packets_per_second, DEFAULT_BURST_NANOSECONDS).max(LEAST_BURST_PACKETS),
                burst => burst,
            };
            Bucket::new(1, rate.packets_per_second, burst)
        });
        let queue_bytes = match rate.queue_bytes {
            0 => within(bytes_per_second, DEFAULT_QUEUE_NANOSECONDS).max(LEAST_BURST_BYTES),
            bytes => bytes.max(LARGEST_FRAME),
        };
        Self {
            rate,
            bytes,
            packets,
            queue_bytes,
        }
    }

    /// The limit.
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Packets beyond the limit are to be held back, not dropped.
    #[inline]
    pub fn shapes(&self) -> bool {
        self.rate.shape
    }

    /// Bytes that may be held back.
    #[inline]
    pub fn queue_bytes(&self) -> u64 {
        self.queue_bytes
    }

    /// Lets a packet of `len` bytes pass at `now` (nanoseconds), or says when the next try may succeed.
    ///
    /// # Errors
    /// [`NotYet`]: it is beyond the limit; nothing was taken from the buckets.
    #[inline]
    pub fn pass(&self, len: usize, now: u64) -> Result<(), NotYet> {
        if let Some(bytes) = &self.bytes {
            bytes.take(len as u64, now)?;
        }
        if let Some(packets) = &self.packets
            && let Err(not_yet) = packets.take(1, now)
        {
            if let Some(bytes) = &self.bytes {
                bytes.put_back(len as u64);
            }
            return Err(not_yet);
        }
        Ok(())
    }
}

/// A packet is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYet {
    /// From this time on (nanoseconds) it would be within, if nothing else passed meanwhile.
    pub until: u64,
}

/// A token bucket: how far ahead of time those who took from it are.
#[derive(Debug)]
struct Bucket {
    /// Ticks that one unit (byte or packet) costs, times 2^FRACTION.
    cost: u128,
    /// How far ahead of time they may be, ticks.
    burst: u64,
    /// When the bucket will be full, ticks.
    full_at: AtomicU64,
}

impl Bucket {
    /// `units` of what the rate counts per unit taken (8 bits in a byte), at `per_second`; `burst` in units taken.
    fn new(units: u64, per_second: u64, burst: u64) -> Self {
        let numerator = (u128::from(units) * u128::from(NANOSECONDS * TICKS_PER_NANOSECOND)) << FRACTION;
        // Rounded up: never more than the rate.
        let cost = numerator.div_ceil(u128::from(per_second.max(1)));
        // Rounded up to a tick, as costs are: exactly the burst passes at once.
        let ticks = cost.saturating_mul(u128::from(burst)).div_ceil(1 << FRACTION);
        Self {
            cost,
            // A burst of more than a year is as good as none asked for; the bound keeps sums within the word.
            burst: u64::try_from(ticks).unwrap_or(u64::MAX).min(1 << 59),
            full_at: AtomicU64::new(0),
        }
    }

    /// What `units` cost, ticks, rounded up.
    #[inline]
    fn cost(&self, units: u64) -> u64 {
        let cost = self.cost.saturating_mul(u128::from(units));
        u64::try_from(cost.div_ceil(1 << FRACTION))
            .unwrap_or(u64::MAX)
            .min(1 << 59)
    }

    #[inline]
    fn take(&self, units: u64, now: u64) -> Result<(), NotYet> {
        // 2^60 ns are 36 years after the clock's start.
        let (now, cost) = (now.saturating_mul(TICKS_PER_NANOSECOND), self.cost(units));
        let latest = now.saturating_add(self.burst);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(cost);
            // What is more than a whole bucket holds waits for a full one only, or it would wait for ever.
            if next > latest && full_at > now {
                let until = (next - self.burst).min(full_at).div_ceil(TICKS_PER_NANOSECOND);
                return Err(NotYet { until });
            }
            // Fails only when another worker took meanwhile, which then has made progress.
            match self
                .full_at
                .compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(seen) => full_at = seen,
            }
        }
    }

    /// Undoes a [`take`](Self::take).
    #[inline]
    fn put_back(&self, units: u64) {
        self.full_at.fetch_sub(self.cost(units), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "qos_tests.rs"]
mod tests;
