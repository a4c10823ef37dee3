//! What workers read: tables that one writer changes and publishes as immutable snapshots. Nothing here knows of ports or packets' ways.

pub mod lpm;
