//! The runner that drives all stages, the views that hold their state, and the logs they work on.
//!
//! Kafka is the distributed engine: nothing here elects, replicates or coordinates.

mod brake;
pub mod embedded;
pub mod kafka;
pub mod lane;
pub mod local;
pub mod log;
pub mod runner;
pub mod thread;
pub mod view;

pub use brake::{Brake, BrakeSettings};
