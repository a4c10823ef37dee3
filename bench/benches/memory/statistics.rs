//! Criterion, measuring nanoseconds that turns took, and showing them as clocks, too.

use std::{fs, path::PathBuf, time::Duration};

use criterion::{
    Criterion, Throughput,
    measurement::{Measurement, ValueFormatter},
};
use vrouter_bench::figures::ticks::Scale;

/// Nanoseconds, as beds count them.
pub(crate) struct Turns(Clocks);

struct Clocks(Scale);

/// Criterion for turns.
pub(crate) fn criterion(scale: Scale) -> Criterion<Turns> {
    Criterion::default()
        .with_measurement(Turns(Clocks(scale)))
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

/// The median of what criterion last measured by this name, nanoseconds per packet.
pub(crate) fn median(name: &str) -> Option<f64> {
    let path = directory().join("criterion").join(name).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    estimates.get("median")?.get("point_estimate")?.as_f64()
}

/// Where cargo builds, and criterion leaves its estimates: the directory above that of this program's profile.
pub(crate) fn directory() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    // target/release/deps/pipeline-0123456789abcdef
    program.ancestors().nth(3).expect("a directory to build in").to_owned()
}

/// Of beds alone: what criterion could measure itself would be the feeding, too.
impl Measurement for Turns {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        0.0
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &self.0
    }
}

impl ValueFormatter for Clocks {
    fn format_value(&self, value: f64) -> String {
        format!("{value:.2} ns ({:.1} clocks)", self.0.ticks(value))
    }

    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "ns"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, values: &mut [f64]) -> &'static str {
        for value in values {
            *value = 1000.0 / *value;
        }
        "M packets/s"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}
