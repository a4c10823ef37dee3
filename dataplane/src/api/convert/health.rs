//! Health checks.

use std::sync::Arc;

use vrouter_proto::dataplane::{self as pb, health_check::Kind};

use super::field;
use crate::program::{
    HealthStatus,
    object::{HEALTH_INTERVAL_MS, HEALTH_TIMEOUT_MS, HealthCheckSpec, HealthKind},
    problem::Refusal,
};

/// Longest path, or name of a service, bytes.
const TARGET_MAX: usize = 1024;

/// Milliseconds between questions: no workload is asked more than ten times a second.
const INTERVAL: (u64, u64) = (100, 3_600_000);

/// Milliseconds until a question counts as not answered.
const TIMEOUT: (u64, u64) = (10, 3_600_000);

/// Answers in a row.
const COUNT: (u64, u64) = (1, 100);

pub(super) fn read(check: &pb::HealthCheck) -> Result<HealthCheckSpec, Refusal> {
    let kind = match Kind::try_from(check.kind) {
        Ok(Kind::Tcp) => HealthKind::Tcp,
        Ok(Kind::Http) => HealthKind::Http,
        Ok(Kind::Grpc) => HealthKind::Grpc,
        Ok(Kind::Unspecified) | Err(_) => {
            let message = format!("{} is no kind; give TCP (1), HTTP (2) or GRPC (3)", check.kind);
            return Err(Refusal::invalid("health_check.kind", message));
        }
    };
    let spec = HealthCheckSpec {
        id: field::id("health_check.id", check.id)?,
        name: field::long_name("health_check.name", &check.name)?,
        vrf: field::id("health_check.vrf", check.vrf)?,
        address: field::host("health_check.address", &check.address)?,
        port: field::number("health_check.port", check.port, 1, 65_535)?,
        kind,
        target: read_target(kind, &check.target)?,
        interval_ms: field::number_or(
            "health_check.interval_ms",
            check.interval_ms,
            INTERVAL,
            HEALTH_INTERVAL_MS,
        )?,
        timeout_ms: field::number_or("health_check.timeout_ms", check.timeout_ms, TIMEOUT, HEALTH_TIMEOUT_MS)?,
        rise: field::number_or("health_check.rise", check.rise, COUNT, 1)?,
        fall: field::number_or("health_check.fall", check.fall, COUNT, 3)?,
    };
    let (timeout, interval) = (spec.timeout(), spec.interval());
    if timeout > interval {
        let message = format!("{timeout} is longer than the interval of {interval}: one question ends before the next");
        return Err(Refusal::invalid("health_check.timeout_ms", message));
    }
    Ok(spec)
}

/// Goes into a request as it is: it may hold nothing that ends a line or a word.
fn read_target(kind: HealthKind, target: &str) -> Result<Arc<str>, Refusal> {
    let refused = |message| Err(Refusal::invalid("health_check.target", message));
    if target.len() > TARGET_MAX {
        return refused(format!(
            "{} bytes are too long; give at most {TARGET_MAX}",
            target.len()
        ));
    }
    if let Some(wrong) = target.chars().find(|c| !c.is_ascii_graphic()) {
        return refused(format!(
            "{wrong:?} may not be in it: give letters, digits and signs of ASCII"
        ));
    }
    match kind {
        HealthKind::Tcp if !target.is_empty() => {
            refused("a connection has no target; leave this unset, or ask by HTTP or gRPC".to_owned())
        }
        HealthKind::Http if !target.is_empty() && !target.starts_with('/') => {
            refused(format!("{target:?} is no path: write one like /healthz"))
        }
        _ => Ok(target.into()),
    }
}

pub(super) fn show(check: &HealthCheckSpec) -> pb::HealthCheck {
    pb::HealthCheck {
        id: check.id,
        name: check.name.to_string(),
        vrf: check.vrf,
        address: check.address.to_string(),
        port: check.port.into(),
        kind: match check.kind {
            HealthKind::Tcp => Kind::Tcp,
            HealthKind::Http => Kind::Http,
            HealthKind::Grpc => Kind::Grpc,
        }
        .into(),
        target: check.target.to_string(),
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        rise: check.rise,
        fall: check.fall,
        state: None,
    }
}

pub(super) fn show_state(status: &HealthStatus) -> pb::HealthState {
    pb::HealthState {
        healthy: status.healthy,
        detail: status.detail.to_string(),
        successes: status.successes,
        failures: status.failures,
    }
}
