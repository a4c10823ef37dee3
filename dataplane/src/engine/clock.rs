//! Clocks for workers.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::worker::Clock;

/// Time since this clock was made, from the system's monotonic clock. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Starts at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The same time, told by one thread to itself for less.
    pub fn ticking(self) -> Ticking<Self> {
        Ticking::new(self, has_steady_ticks().then_some(ticks as fn() -> u64))
    }
}

impl Clock for Monotonic {
    #[inline]
    fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The counter advances at one rate whatever the core does, and the kernel tells time by it, too (so that it agrees between cores).
fn has_steady_ticks() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::__cpuid;
        /// The leaf of power management, and its bit "invariant TSC".
        const POWER: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        let trusted =
            source.is_ok_and(|source| matches!(source.trim(), "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page"));
        trusted && __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    false
}

/// The CPU's counter.
#[inline(always)]
fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: reads a register that every x86-64 CPU has.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// For so long, in nanoseconds, ticks are believed: then the clock behind is asked again.
const BELIEVED: u64 = 1_000_000;

/// Nanoseconds over which a rate is found, at least.
const WATCHED: u64 = 10_000_000;

/// Ticks between which the clock behind is asked, at most: with more, somebody else had the CPU, and neither belongs to the other.
const AT_ONCE: u64 = 20_000;

/// Nanoseconds of a tick that make sense, as [`Anchor::rate`].
const RATES: std::ops::Range<u64> = 1 << 28..1 << 36;

/// What ticks and nanoseconds were at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    ticks: u64,
    nanoseconds: u64,
}

/// From where ticks are counted.
#[derive(Clone, Copy, Debug, Default)]
struct Anchor {
    at: Moment,
    /// Nanoseconds of a tick, times 2^32.
    rate: u64,
    /// How many ticks are believed; 0 while the rate is not known.
    good_for: u64,
}

/// Another clock's time, told by the CPU's counter of ticks in between: to read it costs a fraction. The counter is held against the clock a thousand
/// times a second, and whenever it leaps (as when a machine is moved), so that its rate need not be known, and may change.
///
/// Never goes back. For one thread: several tell the same time, but for less than a microsecond.
#[derive(Debug)]
pub struct Ticking<C> {
    clock: C,
    ticks: Option<fn() -> u64>,
    anchor: Cell<Anchor>,
    /// Where the rate is being found from.
    origin: Cell<Option<Moment>>,
    /// Told last.
    told: Cell<u64>,
}

impl<C: Clock> Ticking<C> {
    fn new(clock: C, ticks: Option<fn() -> u64>) -> Self {
        Self {
            clock,
            ticks,
            anchor: Cell::default(),
            origin: Cell::default(),
            told: Cell::default(),
        }
    }

    /// Asks the clock behind, and from now on counts from there.
    #[cold]
    #[inline(never)]
    fn ask(&self, ticks: fn() -> u64) -> u64 {
        let before = ticks();
        let nanoseconds = self.clock.now();
        let at = Moment {
            ticks: before,
            nanoseconds,
        };
        if ticks().wrapping_sub(before) > AT_ONCE {
            self.anchor.set(Anchor::default());
            return nanoseconds;
        }
        let mut rate = self.anchor.get().rate;
        let origin = self.origin.get().unwrap_or(at);
        let watched = nanoseconds.saturating_sub(origin.nanoseconds);
        if watched >= WATCHED {
            let passed = at.ticks.wrapping_sub(origin.ticks).max(1);
            rate = u64::try_from((u128::from(watched) << 32) / u128::from(passed)).unwrap_or(0);
        }
        if watched >= WATCHED || self.origin.get().is_none() {
            self.origin.set(Some(at));
        }
        if !RATES.contains(&rate) {
            rate = 0;
        }
        self.anchor.set(Anchor {
            at,
            rate,
            good_for: (BELIEVED << 32).checked_div(rate).unwrap_or(0),
        });
        nanoseconds
    }

    #[inline(always)]
    fn read(&self, ticks: fn() -> u64, count: u64) -> u64 {
        let anchor = self.anchor.get();
        let since = count.wrapping_sub(anchor.at.ticks);
        let now = if since < anchor.good_for {
            // Less than 2^24 ticks, each less than 2^36.
            anchor.at.nanoseconds + ((since * anchor.rate) >> 32)
        } else {
            self.ask(ticks)
        };
        let now = now.max(self.told.get());
        self.told.set(now);
        now
    }
}

impl Clock for Ticking<Monotonic> {
    #[inline]
    fn now(&self) -> u64 {
        match self.ticks {
            Some(source) => self.read(source, ticks()),
            None => self.clock.now(),
        }
    }
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Manual(Arc<AtomicU64>);

impl Manual {
    /// Moves the clock on by some nanoseconds.
    pub fn advance(&self, nanoseconds: u64) {
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Clock for Manual {
    #[inline]
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// A counter of ticks that tests move.
        static TICKS: Cell<u64> = const { Cell::new(0) };
    }

    fn counter() -> u64 {
        TICKS.get()
    }

    fn read<C: Clock>(clock: &Ticking<C>) -> u64 {
        clock.read(counter, counter())
    }

    /// Both move on; `per_ten` ticks in ten nanoseconds.
    fn pass(clock: &Manual, nanoseconds: u64, per_ten: u64) {
        clock.advance(nanoseconds);
        TICKS.set(TICKS.get().wrapping_add(nanoseconds * per_ten / 10));
    }

    #[test]
    fn ticks_tell_what_the_clock_behind_tells_at_any_rate_of_theirs() {
        for per_ten in [10, 26, 37, 5] {
            let manual = Manual::default();
            let clock = Ticking::new(manual.clone(), Some(counter as fn() -> u64));
            let mut asked = 0;
            for step in 0..200_000_u64 {
                pass(&manual, 500 + step % 701, per_ten);
                let (before, told) = (clock.anchor.get().at.ticks, read(&clock));
                assert!(told.abs_diff(manual.now()) <= 100, "{told} for {}", manual.now());
                asked += u64::from(clock.anchor.get().at.ticks != before);
            }
            // Each time until the rate is known, then once in a millisecond.
            assert!(asked < 20_000 + manual.now() / BELIEVED, "{asked}");
        }
    }

    #[test]
    fn a_counter_that_leaps_or_changes_its_rate_is_found_out_and_time_never_goes_back() {
        let manual = Manual::default();
        let clock = Ticking::new(manual.clone(), Some(counter as fn() -> u64));
        let mut last = 0;
        let mut go = |steps: u64, per_ten: u64, off: u64| {
            for _ in 0..steps {
                pass(&manual, 1000, per_ten);
                let told = read(&clock);
                assert!(told >= last, "back from {last} to {told}");
                assert!(told.abs_diff(manual.now()) <= off, "{told} for {}", manual.now());
                last = told;
            }
        };
        go(50_000, 26, 2);
        for leap in [1 << 40, 5_u64.wrapping_neg(), (1_u64 << 50).wrapping_neg(), 1 << 63] {
            TICKS.set(TICKS.get().wrapping_add(leap));
            // A rate found across a leap makes no sense, or little, and not for long.
            go(40_000, 26, 2 * BELIEVED);
            go(20_000, 26, 2);
        }
        // Half as fast, twice as fast: right again after the rate was found anew, and never off by more than it is believed.
        go(40_000, 13, 2 * BELIEVED);
        go(20_000, 13, 2);
        go(40_000, 26, 2 * BELIEVED);
        go(20_000, 26, 2);
        // Asleep for an hour.
        pass(&manual, 3_600_000_000_000, 26);
        go(20_000, 26, 2);
    }

    #[test]
    fn the_real_one_agrees_with_the_clock_it_is_made_of() {
        let clock = Monotonic::start();
        let ticking = clock.ticking();
        let mut last = 0;
        let end = clock.now() + 30_000_000;
        while clock.now() < end {
            let (before, told, after) = (clock.now(), ticking.now(), clock.now());
            assert!(told >= last);
            // However long the thread was away between the two readings, it is told in between.
            assert!(
                told + BELIEVED >= before && told <= after + BELIEVED,
                "{before} {told} {after}"
            );
            last = told;
        }
    }
}
