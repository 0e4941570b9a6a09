//! Tests through the rooms' faces.

/// A real Kafka, one a test binary.
mod broker;
/// The log on it.
mod kafka_log;
