//! Curves: what a packet costs with few and with many flows, routes and VRFs, with one worker and with two. Written to `bench/RESULTS.md` as tables, and drawn as
//! `bench/plots/*.svg`.
//!
//! Each point is the median of some samples; what a sample is is said in [`memory`].
#![allow(clippy::expect_used, clippy::panic)] // A bench whose lab does not work has nothing to measure.

mod memory;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
};

use vrouter_bench::figures::{machine::Machine, results, ticks::Scale};

use memory::{
    bed::{BATCH, Bed, Lane, Meets, UNTRACKED},
    cases,
    lab::{Scene, Tunnel, Way, add_routes},
    packets::{Family, Order, Pattern},
    plot::{self, Curve, Titles},
};

const FLOWS: [u32; 5] = [1000, 10_000, 100_000, 1_000_000, 4_000_000];
const ROUTES: [u32; 5] = [1000, 10_000, 100_000, 1_000_000, 2_000_000];
const VRFS: [u32; 4] = [1, 10, 100, 1000];

/// Flows over all VRFs.
const VRF_FLOWS: u32 = 10_000;

/// Samples of a point, and packets of each.
const SAMPLES: usize = 15;
const PACKETS: u64 = 100_000;

/// Packets before the first sample, beyond one for each flow.
const WARM_UP: u64 = 500_000;

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scale = Scale::measure();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plots = directory.join("plots");
    fs::create_dir_all(&plots).expect("a directory");
    let mut text = format!("Measured on {}.\n", Machine::here().words());
    for (name, titles, curves) in [flows(&scale), routes(&scale), vrfs(&scale)] {
        let path: PathBuf = plots.join(format!("{name}.svg"));
        plot::draw(&path, titles, &curves);
        let _ = write!(
            text,
            "\n### {}\n\n![{}](plots/{name}.svg)\n\n{}",
            titles.title,
            titles.title,
            table(titles.sizes, &curves)
        );
    }
    results::rewrite(&directory.join("RESULTS.md"), "curves", &text).expect("a section to write");
}

type Plot = (&'static str, Titles<'static>, Vec<Curve>);

/// Stateful policy hits. Two workers have half of the flows each.
fn flows(scale: &Scale) -> Plot {
    let mut curves = Vec::new();
    for workers in [1, 2] {
        for family in Family::BOTH {
            let name = format!("{family:?}, {workers} worker{}", if workers > 1 { "s" } else { "" });
            let point = |count: u32| {
                let scene = Scene {
                    pairs: workers,
                    ..Scene::new(family, Way::Local)
                        .with_policy()
                        .with_flows((count as usize).next_power_of_two().max(memory::lab::FLOWS))
                };
                let meets = Meets::Known {
                    flows: count,
                    answered: true,
                };
                measure(&mut cases::clients(&scene, meets), u64::from(count), scale)
            };
            curves.push(curve(name, &FLOWS, point));
        }
    }
    let titles = Titles {
        title: "Stateful policy hit by the number of flows",
        sizes: "flows, met at random",
        values: "ns per packet, of each worker",
    };
    ("flows", titles, curves)
}

/// Plain routing to random destinations, one in each route: of flows that are known, and of new ones, which ask the routes.
fn routes(scale: &Scale) -> Plot {
    let mut curves = Vec::new();
    for family in Family::BOTH {
        let known = |count| measure(&mut cases::routes(family, count as usize), u64::from(count), scale);
        curves.push(curve(format!("{family:?}, flow known"), &ROUTES, known));
        let new = |count| measure(&mut new_flows(family, count as usize), 0, scale);
        curves.push(curve(format!("{family:?}, each packet a new flow"), &ROUTES, new));
    }
    let titles = Titles {
        title: "Plain routing by the number of routes",
        sizes: "routes, each met at random",
        values: "ns per packet",
    };
    ("routes", titles, curves)
}

fn new_flows(family: Family, count: usize) -> Bed {
    let scene = Scene::new(family, Way::Local);
    let mut node = scene.build();
    let destinations = add_routes(&mut node, family, count);
    let meets = Meets::New {
        alive: cases::ALIVE,
        lifetime: UNTRACKED,
    };
    Bed::new(&scene, node, meets, |_| {
        let order = Order::Mixed {
            next: 0,
            of: cases::DIFFERENT,
        };
        (Pattern::Destinations(destinations.clone()), order)
    })
}

/// Routed VXLAN decapsulation, flows spread over VRFs.
fn vrfs(scale: &Scale) -> Plot {
    let one = |family: Family| {
        let point = |vrfs| {
            let scene = Scene {
                vrfs,
                ..Scene::new(family, Way::Decapsulate(Tunnel::Vxlan))
            };
            let meets = Meets::Known {
                flows: VRF_FLOWS,
                answered: false,
            };
            measure(&mut cases::clients(&scene, meets), u64::from(VRF_FLOWS), scale)
        };
        curve(format!("{family:?}"), &VRFS, point)
    };
    let curves = Family::BOTH.map(one).to_vec();
    let titles = Titles {
        title: "Routed VXLAN decapsulation by the number of VRFs",
        sizes: "VRFs, each with a VNI; 10,000 flows over all",
        values: "ns per packet",
    };
    ("vrfs", titles, curves)
}

fn curve(name: String, sizes: &[u32], point: impl Fn(u32) -> f64) -> Curve {
    let one = |size: &u32| {
        let value = point(*size);
        println!("{name}: {}: {value:.1} ns", plot::short(f64::from(*size)));
        (f64::from(*size), value)
    };
    Curve {
        points: sizes.iter().map(one).collect(),
        name,
    }
}

/// Nanoseconds per packet, the mean of all lanes' medians. Lanes run at the same time.
fn measure(bed: &mut Bed, flows: u64, scale: &Scale) -> f64 {
    let (count, start) = (bed.lanes.len(), Barrier::new(bed.lanes.len()));
    let medians: Vec<f64> = thread::scope(|scope| {
        let start = &start;
        let lanes = bed.lanes.iter_mut();
        let threads: Vec<_> = lanes
            .map(|lane| {
                scope.spawn(move || {
                    lane.run(WARM_UP + flows / count as u64, BATCH);
                    start.wait();
                    median(lane, scale)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a lane that ran"))
            .collect()
    });
    bed.checked();
    medians.iter().sum::<f64>() / count as f64
}

fn median(lane: &mut Lane, scale: &Scale) -> f64 {
    let mut samples: Vec<_> = (0..SAMPLES)
        .map(|_| lane.run(PACKETS, BATCH).nanoseconds(scale).0)
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

fn table(sizes: &str, curves: &[Curve]) -> String {
    let mut text = format!("| {sizes} |");
    for curve in curves {
        let _ = write!(text, " {} |", curve.name);
    }
    let _ = write!(text, "\n|--:|{}\n", "--:|".repeat(curves.len()));
    let rows = curves.first().map_or(0, |curve| curve.points.len());
    for row in 0..rows {
        let _ = write!(text, "| {} |", plot::short(curves[0].points[row].0));
        for curve in curves {
            let _ = write!(text, " {:.1} ns |", curve.points[row].1);
        }
        text.push('\n');
    }
    text
}
