//! QoS profiles: limits and marks for endpoints.

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::{
    error::Invalid,
    object::{Object, Spec, Wish, fields},
    reference::Target,
};

/// A limit. A rate of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QosRate {
    /// Bits of IP packets per second.
    pub bits_per_second: u64,
    /// Packets per second.
    pub packets_per_second: u64,
    /// Bytes that may come at once; 0: what suits the rate.
    pub burst_bytes: u64,
    /// Packets that may come at once; 0: what suits the rate.
    pub burst_packets: u64,
    /// Hold packets back instead of dropping them. What endpoints are sent only.
    pub shape: bool,
    /// Bytes held back at most; 0: what suits the rate.
    pub queue_bytes: u64,
}

/// What a client chooses of a QoS profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosProfileSpec {
    /// What endpoints send.
    pub egress: Option<QosRate>,
    /// What endpoints are sent.
    pub ingress: Option<QosRate>,
    /// DSCP of what they send, 0..=63.
    pub dscp: Option<u8>,
    /// It goes with the last endpoint that names it.
    #[serde(default)]
    pub ephemeral: bool,
}

/// A QoS profile, as stored.
pub type QosProfile = Object<QosProfileSpec>;

impl QosRate {
    fn from_proto(field: &str, rate: pb::QosRate) -> Result<Self, Invalid> {
        let at = |name: &str| format!("{field}.{name}");
        if rate.bits_per_second == 0 && rate.packets_per_second == 0 {
            let message = "bits_per_second and packets_per_second are both 0; at least one of them is to be a limit";
            return Err(Invalid::new(field, message));
        }
        for (name, value, rate, of) in [
            ("burst_bytes", rate.burst_bytes, rate.bits_per_second, "bits_per_second"),
            (
                "burst_packets",
                rate.burst_packets,
                rate.packets_per_second,
                "packets_per_second",
            ),
        ] {
            if value != 0 && rate == 0 {
                return Err(Invalid::new(at(name), format!("goes with {of} only")));
            }
        }
        if (1..8).contains(&rate.bits_per_second) {
            return Err(Invalid::new(at("bits_per_second"), "is less than a byte per second"));
        }
        if rate.queue_bytes != 0 && !rate.shape {
            return Err(Invalid::new(at("queue_bytes"), "goes with shape only"));
        }
        if rate.shape && rate.bits_per_second == 0 {
            return Err(Invalid::new(at("shape"), "goes with bits_per_second only"));
        }
        Ok(Self {
            bits_per_second: rate.bits_per_second,
            packets_per_second: rate.packets_per_second,
            burst_bytes: rate.burst_bytes,
            burst_packets: rate.burst_packets,
            shape: rate.shape,
            queue_bytes: rate.queue_bytes,
        })
    }

    /// As the API says it.
    #[must_use]
    pub fn to_proto(&self) -> pb::QosRate {
        pb::QosRate {
            bits_per_second: self.bits_per_second,
            packets_per_second: self.packets_per_second,
            burst_bytes: self.burst_bytes,
            burst_packets: self.burst_packets,
            shape: self.shape,
            queue_bytes: self.queue_bytes,
        }
    }
}

impl Wish<QosProfileSpec> {
    /// Checks a request's QoS profile.
    ///
    /// # Errors
    /// Names the field at fault.
    pub fn from_proto(profile: Option<pb::QosProfile>) -> Result<Self, Invalid> {
        let profile = profile.ok_or_else(|| Invalid::new("qos_profile", "is missing"))?;
        let rate = |field: &str, rate: Option<pb::QosRate>| rate.map(|r| QosRate::from_proto(field, r)).transpose();
        let egress = rate("qos_profile.egress", profile.egress)?;
        if egress.is_some_and(|rate| rate.shape) {
            let message = "what endpoints send is policed, not shaped; their own stack is the queue";
            return Err(Invalid::new("qos_profile.egress.shape", message));
        }
        let spec = QosProfileSpec {
            egress,
            ingress: rate("qos_profile.ingress", profile.ingress)?,
            dscp: match profile.dscp {
                None => None,
                Some(dscp) => Some(u8::try_from(dscp).ok().filter(|d| *d < 64).ok_or_else(|| {
                    Invalid::new(
                        "qos_profile.dscp",
                        format!("{dscp} is out of range; 0 to 63 would be right"),
                    )
                })?),
            },
            ephemeral: profile.ephemeral,
        };
        Self::new(&profile.name, profile.revision, spec)
    }
}

impl Spec for QosProfileSpec {
    type Given = ();
    const KIND: &'static str = "qos_profile";
    fields! {
        egress: "egress",
        ingress: "ingress",
        dscp: "dscp",
        ephemeral: "ephemeral",
    }

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    fn references(&self) -> Vec<(String, Target)> {
        Vec::new()
    }
}
