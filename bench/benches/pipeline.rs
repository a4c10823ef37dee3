//! The whole pipeline in memory: each figure of [`vrouter_bench::figures::table`] that is time per packet, by criterion; memory per object and
//! the loading of routes, measured once; then all of them as `target/bench.json` and in `bench/RESULTS.md`.
//!
//! `cargo bench -p vrouter-bench --bench pipeline -- flow_hit` measures those whose names contain the words given, and writes neither.
//! What exactly is timed is said in [`memory`].
#![allow(clippy::expect_used, clippy::panic)] // A bench whose lab does not work has nothing to measure.

mod memory;

use std::{collections::HashMap, path::Path};

use vrouter_bench::figures::{
    json,
    machine::Machine,
    results,
    table::{self, Unit},
    ticks::Scale,
};

use memory::{
    bed::Taken,
    cases, daemon,
    fresh::{self, Objects},
    packets::Family,
    statistics,
};

fn main() {
    if fresh::is_told() {
        return;
    }
    let scale = Scale::measure();
    let machine = format!(
        "{}; time stamp counter at {:.2} GHz",
        Machine::here().words(),
        scale.per_nanosecond
    );
    println!(
        "{}\nreading the counter twice takes {} clocks, taken off\n",
        machine, scale.empty
    );
    let mut values = HashMap::new();
    packets(scale, &mut values);
    if values.len() < timed().count() {
        println!("A part was measured: target/bench.json and bench/RESULTS.md stay as they are.");
        return;
    }
    objects(scale, &mut values);
    let figures = json::complete(|name| values.get(name).copied()).expect("all figures were measured");
    let path = statistics::directory().join("bench.json");
    json::write(&path, &figures).expect("a file to write");
    println!("\nwritten: {}", path.display());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let table = results::table(&figures, scale.per_nanosecond);
    let text = format!("Measured on {machine}.\n\n{table}");
    results::rewrite(&path, "figures", &text).expect("a section to write");
    println!("written: {}", path.display());
}

/// Names of the figures that are time per packet.
fn timed() -> impl Iterator<Item = String> {
    table::names().filter(|name| table::find(name).is_some_and(|figure| figure.unit == Unit::Nanoseconds))
}

/// Time per packet, by criterion.
fn packets(scale: Scale, values: &mut HashMap<String, f64>) {
    let mut criterion = statistics::criterion(scale);
    for name in timed() {
        let (mut bed, mut sum) = (None, Taken::default());
        criterion.bench_function(&name, |bencher| {
            let (bed, batch) = bed.get_or_insert_with(|| cases::bed(&name).expect("a bed for each figure"));
            bencher.iter_custom(|packets| {
                let taken = bed.lane().run(packets, *batch);
                sum.add(taken);
                scale.nanoseconds(taken.turns as f64) / taken.packets as f64 * packets as f64
            });
        });
        // Left out by the words on the command line.
        let Some((bed, _)) = &bed else { continue };
        let counts = bed.checked();
        // Nothing was measured where the beds are only tried (`cargo test --benches`).
        let Some(value) = statistics::median(&name) else {
            continue;
        };
        let with_feeding = sum.nanoseconds(&scale).1;
        println!(
            "{}",
            results::line(&name, value, Some(with_feeding), scale.per_nanosecond)
        );
        println!(
            "    {} packets, {} stretches measured again; {counts:?}\n",
            sum.packets, sum.repeated
        );
        values.insert(name, value);
    }
    criterion.final_summary();
}

/// Memory per object, and the loading of routes.
fn objects(scale: Scale, values: &mut HashMap<String, f64>) {
    for family in Family::BOTH {
        let suffix = if family == Family::V6 { table::V6 } else { "" };
        let mut put = |name: &str, value: f64| {
            let name = format!("{name}{suffix}");
            println!("{}", results::line(&name, value, None, scale.per_nanosecond));
            values.insert(name, value);
        };
        put("flow_bytes", fresh::bytes(Objects::Flows, family));
        put("route_bytes", fresh::bytes(Objects::Routes, family));
        let (seconds, grown) = daemon::load(family);
        put("route_load_1m", seconds);
        println!("    vrouterd grew by {grown:.0} bytes for each of them");
    }
}
