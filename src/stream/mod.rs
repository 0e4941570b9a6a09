//! The runner and the logs.
