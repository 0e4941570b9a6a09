//! Data exchange agreements as code: reading them, deciding, redacting, and the ledger's entries.
//!
//! A ceiling is not permission: the contributor's terms and the recipient's agreement must both
//! allow a disclosure. Everything here is pure and default-deny.

pub mod agreement;
pub mod decide;
pub mod fields;
pub mod gate;
pub mod keyed;
pub mod ledger;
pub mod redact;
pub mod url;

pub use agreement::Agreement;
pub use decide::{Book, Cache, Decision, Outcome, Party, Release, decide};
