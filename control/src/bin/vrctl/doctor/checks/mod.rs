//! The checks: each a function from facts to findings, one file per subject. None looks at the machine.

mod clashes;
mod cpu;
mod daemons;
mod interfaces;
mod kernel;
mod memory;
mod mtu;
mod offloads;
mod privileges;
mod store;
mod sysctls;

use super::{facts::Facts, finding::Finding};

/// A check.
type Check = fn(&Facts) -> Vec<Finding>;

/// All of them, in the order in which they are shown.
const ALL: [Check; 19] = [
    kernel::version,
    kernel::features,
    kernel::clock,
    kernel::wall_clock,
    privileges::capabilities,
    privileges::memlock,
    privileges::open_files,
    sysctls::settings,
    cpu::scheduling,
    memory::pages,
    interfaces::presence,
    interfaces::driver,
    interfaces::queues,
    interfaces::foreign_program,
    mtu::underlay,
    offloads::receive,
    clashes::tunnel_ports,
    store::store,
    daemons::daemons,
];

/// Runs all of them.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    ALL.iter().flat_map(|check| check(facts)).collect()
}
