//! The two gRPC interfaces of vrouter and the code generated from them.
//!
//! The `.proto` files are the documentation: every message and field says what it means, its unit and its range. Only
//! generated code, its descriptors and what is read out of them ([`api`]) belong here.

pub mod api;

/// `vrouter.dataplane.v1`: what a control process tells one `vrouterd`.
pub mod dataplane {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("vrouter.dataplane.v1");
}

/// `vrouter.control.v1`: what people and orchestrators tell `vrouter-control`.
pub mod control {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("vrouter.control.v1");
}

/// Encoded `FileDescriptorSet` of both interfaces, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
