//! Leads and disclosures as bytes: one file an output format, and the table of them.

pub mod lead;
pub mod native;
