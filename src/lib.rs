//! Sightline turns raw sightings of attacker infrastructure into enriched, scored leads, and gives
//! each lead only to the parties whose data exchange agreement lets them have it.

pub mod ask;
pub mod cli;
pub mod config;
pub mod diag;
pub mod dossier;
pub mod encode;
pub mod enrich;
pub mod score;
pub mod serve;
pub mod share;
pub mod sighting;
pub mod stage;
pub mod store;
pub mod stream;
