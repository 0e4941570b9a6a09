//! Integration-level tests, a file a topic.

mod dossier;
mod score;
