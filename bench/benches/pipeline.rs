//! The whole pipeline in memory: each figure of [`vrouter_bench::figures::table`] that is time per packet, by criterion; memory per object and the loading of
//! routes, measured once; then all of them as `target/bench.json` and in `bench/RESULTS.md`.
//!
//! `cargo bench -p vrouter-bench --bench pipeline -- flow_hit` measures those whose names contain the words given, and writes neither.
//! What exactly is timed is said in [`memory`].
#![allow(clippy::expect_used, clippy::panic)] // A bench whose lab does not work has nothing to measure.

mod memory;

use vrouter_bench::figures::{
    results,
    table::{self, Unit},
    ticks::Scale,
};

use memory::{bed::Taken, cases, statistics};

fn main() {
    let scale = Scale::measure();
    println!(
        "time stamp counter: {:.3} GHz; reading it twice: {} clocks",
        scale.per_nanosecond, scale.empty
    );
    let mut criterion = statistics::criterion(scale);
    let timed = table::names().filter(|name| table::find(name).is_some_and(|f| f.unit == Unit::Nanoseconds));
    for name in timed {
        let (mut bed, mut sum) = (None, Taken::default());
        criterion.bench_function(&name, |bencher| {
            let (bed, batch) = bed.get_or_insert_with(|| cases::bed(&name).expect("a bed for each figure"));
            bencher.iter_custom(|packets| {
                let taken = bed.lane().run(packets, *batch);
                sum.add(taken);
                scale.nanoseconds(taken.turns as f64) / taken.packets as f64 * packets as f64
            });
        });
        if let Some((bed, _)) = &bed {
            let counts = bed.checked();
            let value = statistics::median(&name).unwrap_or(f64::NAN);
            println!(
                "{}",
                results::line(&name, value, Some(sum.nanoseconds(&scale).1), scale.per_nanosecond)
            );
            println!(
                "    {} packets, {} stretches measured again; {counts:?}\n",
                sum.packets, sum.repeated
            );
        }
    }
    criterion.final_summary();
}
