//! Memory per object: what a fresh process with a million has more than a fresh process with a thousand, that is otherwise the same.
//!
//! The process is this program, told on its command line what to make. It says how much memory it has, and ends.

use std::process::Command;

use vrouter_bench::figures::resident;

use super::{
    bed::{Bed, Meets},
    lab::{Scene, Way, add_routes},
    packets::{Family, Order, Pattern},
};

/// Objects of the two processes.
const FEW: u32 = 1000;
const MANY: u32 = 1_000_000;

/// The word on the command line.
const WORD: &str = "--resident";

/// What there are many of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Objects {
    /// Stateful flows, answered, in a table with room for as many (to the next power of two).
    Flows,
    /// Routes, as the programmer keeps them and as workers look them up.
    Routes,
}

/// Resident bytes of one object.
pub(crate) fn bytes(objects: Objects, family: Family) -> f64 {
    let [few, many] = [FEW, MANY].map(|count| {
        let program = std::env::current_exe().expect("this program has a path");
        let arguments = [
            WORD.to_owned(),
            format!("{objects:?}"),
            format!("{family:?}"),
            count.to_string(),
        ];
        let output = Command::new(program).args(arguments).output().expect("a fresh process");
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.trim().parse::<f64>();
        found.unwrap_or_else(|_| {
            panic!(
                "a number of bytes, not {text:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    });
    (many - few) / f64::from(MANY - FEW)
}

/// If this is such a process: does what it was told. Gives whether it was.
pub(crate) fn is_told() -> bool {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [word, objects, family, count] = &arguments[..] else {
        return false;
    };
    if word != WORD {
        return false;
    }
    let family = if family == "V6" { Family::V6 } else { Family::V4 };
    let count = count.parse().expect("a number of objects");
    let bytes = if *objects == format!("{:?}", Objects::Flows) {
        flows(family, count)
    } else {
        routes(family, count)
    };
    println!("{bytes}");
    true
}

fn flows(family: Family, count: u32) -> u64 {
    let scene = Scene::new(family, Way::Local)
        .with_policy()
        .with_flows((count as usize).next_power_of_two());
    let meets = Meets::Known {
        flows: count,
        answered: true,
    };
    let bed = Bed::new(&scene, scene.build(), meets, |_| (Pattern::Clients, Order::Up(0)));
    let bytes = resident::own().expect("the kernel tells");
    bed.checked();
    bytes
}

fn routes(family: Family, count: u32) -> u64 {
    let mut node = Scene::new(family, Way::Local).build();
    drop(add_routes(&mut node, family, count as usize));
    let bytes = resident::own().expect("the kernel tells");
    drop(node);
    bytes
}
