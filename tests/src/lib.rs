//! The tests' own house: topologies of network namespaces, the daemons in them, and ways to look at what they do.
//!
//! Everything made here lives in namespaces and directories whose names carry the process that owns them
//! (`vrt-PID-N-...`), so tests run in parallel without meeting and the root namespace is never touched. All of it is removed
//! on drop, also after a panic; when the process dies without dropping (Ctrl-C, SIGKILL), a reaper process removes it.
//!
//! A test looks like this:
//!
//! ```no_run
//! use vrouter_tests::{require, topology::Topology};
//!
//! fn two_namespaces_talk() -> anyhow::Result<()> {
//!     require!(Root);
//!     Topology::run("two", |t| {
//!         let left = t.netns("left")?;
//!         let right = t.netns("right")?;
//!         left.veth("eth0", &right, "eth0", 1500)?;
//!         left.address("eth0", "10.0.0.1/24")?;
//!         right.address("eth0", "10.0.0.2/24")?;
//!         vrouter_tests::traffic::ping(&left, "10.0.0.2".parse()?, 3)?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Nothing here may know how the daemons work inside: they are programs with command lines and gRPC interfaces.

pub mod api;
pub mod capture;
pub mod cluster;
pub mod cni;
pub mod container;
pub mod daemon;
pub mod docker;
pub mod engine;
pub mod http;
pub mod netns;
pub mod node;
pub mod require;
pub mod run;
pub mod scapy;
mod sys;
pub mod topology;
pub mod traffic;
pub mod vtep;
pub mod wait;
