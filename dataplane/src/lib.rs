//! vrouterd.
