//! The runner and the logs.

pub mod kafka;
pub mod log;
