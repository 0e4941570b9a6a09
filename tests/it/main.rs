//! Tests through the rooms' faces, one module a topic, in the order of the house.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tests may say what they do")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::type_complexity, reason = "what a test compares is named where it is compared")]

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

// The program itself, in a folder of its own, for the modules below.
mod program;
// `enrich`: who learns what of whom, determinism, and bad records.
mod enrich;
// `explain`: factors of a score and steps of a decision, from records and from state.
mod explain;
// `ledger verify`: every tampering with an export, and what no check sees.
mod ledger;
// The same by the verifier that knows only what is published, and that both agree.
mod verify;
// `schema`: schemas that are schemas, and true of what is read and written.
mod schema;
// The state on disk: lost, kept, or another's.
mod state;

// The assess stage alone: stops, wake-ups, expiry, sweeps.
mod assess;

// A real Kafka, one a test binary.
mod broker;
// The Kafka log on it.
mod kafka_log;
// The runner on it, on librdkafka's mock, which answers with errors.
mod kafka_mock;
// The binary as processes, and generated raw records.
mod instance;
mod load;
// The broker's own view, and a listener between an instance and the broker.
mod tap;
mod wire;
// Where it is hard: TLS and SCRAM, restarts of the broker, large records, the fullest dossier.
mod kafka_hard;
// What tests of the whole job share, and the same job in memory.
mod job;
mod memory;
// The main job on Kafka: killed, added to, and the same as in memory.
mod main_job;
// The kill test: what goes on meanwhile, what must hold afterwards, and the kills.
mod kill;
mod kill_checks;
mod kill_load;

// The demonstration's table against what its raw records say, computed here.
mod demo;

// The README's commands and what they print.
mod readme;
