//! Tests through the rooms' faces, one module a topic.

// Every input format: records in files, and what they become.
mod formats;
