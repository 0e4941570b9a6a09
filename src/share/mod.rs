//! Data exchange agreements as code: reading them, deciding, redacting, and the ledger's entries.
//!
//! A ceiling is not permission: the contributor's terms and the recipient's agreement must both
//! allow a disclosure. Everything here is pure and default-deny.

pub mod agreement;
pub mod decide;
pub mod gate;
pub mod ledger;
pub mod redact;

pub use agreement::Agreement;
pub use decide::{Book, Decision, Outcome};
