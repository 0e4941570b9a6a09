//! Where questions are answered.
