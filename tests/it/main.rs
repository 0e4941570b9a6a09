//! All integration tests, one module a topic: one binary links once.

// The pipeline file: bad files and what is said of them, shipped pipelines, topics, the command line.
mod config;
