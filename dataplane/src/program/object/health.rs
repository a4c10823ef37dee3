//! Health checks of workloads on this node.

use std::{net::IpAddr, sync::Arc};

/// Asks a workload whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// VRF of the workload.
    pub vrf: u32,
    /// Address of the workload.
    pub address: IpAddr,
    /// Port that is asked.
    pub port: u16,
    /// How it is asked.
    pub kind: HealthKind,
    /// HTTP: path, empty for "/". gRPC: name of the service.
    pub target: Arc<str>,
    /// Milliseconds between questions; 0: 5000.
    pub interval_ms: u32,
    /// Milliseconds until a question counts as not answered; 0: 1000.
    pub timeout_ms: u32,
    /// Successes until well; 0: 1.
    pub rise: u32,
    /// Failures until unwell; 0: 3.
    pub fall: u32,
}

/// Interval unless told otherwise, milliseconds.
pub const HEALTH_INTERVAL_MS: u32 = 5000;

/// Timeout unless told otherwise, milliseconds.
pub const HEALTH_TIMEOUT_MS: u32 = 1000;

impl HealthCheckSpec {
    /// Milliseconds between questions, as in force.
    pub fn interval(&self) -> u32 {
        or(self.interval_ms, HEALTH_INTERVAL_MS)
    }

    /// Milliseconds that an answer may take, as in force.
    pub fn timeout(&self) -> u32 {
        or(self.timeout_ms, HEALTH_TIMEOUT_MS)
    }

    /// Successes in a row until well, as in force.
    pub fn rises_after(&self) -> u32 {
        or(self.rise, 1)
    }

    /// Failures in a row until unwell, as in force.
    pub fn falls_after(&self) -> u32 {
        or(self.fall, 3)
    }
}

fn or(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

/// How a workload is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthKind {
    /// A connection is accepted.
    Tcp,
    /// GET answers with a status of 200 to 399.
    Http,
    /// `grpc.health.v1` answers SERVING.
    Grpc,
}
