//! The table of input formats.
