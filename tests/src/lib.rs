//! Tests house.
