//! Tests through the rooms' faces, one module a topic, in the order of the house.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests may say what they do")]

// The house itself: rooms, purity, and the rules that no compiler holds.
mod tidy;

// Every input format: records in files, and what they become.
mod formats;
// Databases of addresses, as they come; needs what tests/fetch fetches.
mod geoip;
// Scores: evidence in, verdict and explanation out.
mod score;
// Dossiers: folds, leads, what is written of them.
mod dossier;

// The pipeline file: everything that is wrong, at its place.
mod config;
// Agreements and decisions: who may know what, and why not.
mod share;

// A real Kafka, one a test binary.
mod broker;
// The Kafka log on it.
mod kafka_log;
// The binary as processes, and generated raw records.
mod instance;
mod load;
// The main job on Kafka: killed, added to, and the same as in memory.
mod main_job;
