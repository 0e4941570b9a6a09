//! One list of known indicators, kept as a CSV file: evidence for or against what stands on it.
//!
//! A listed name also speaks, at half the weight, of the names under it and the URLs on them; a listed
//! network of the addresses in it. Feeds in the forms of others are not read here, nothing is fetched,
//! and what `suppress` is to mean is not decided here: such a row is refused.

mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use self::entries::{Entries, Match, Relation};
use super::{Answers, Enricher, EnricherConfig, Evidence, Finding, Form, LoadError, Loaded, Status, take};
use crate::diag;
use crate::diag::{Findings, Source, Spanned};
use crate::sighting::time::DAY;
use crate::sighting::{Indicator, Length, Terms, Timestamp};

/// The largest weight, either way: odds of about 22,000 to 1, which no single claim should exceed.
const LARGEST_WEIGHT: i32 = 1000;

/// A list of known indicators in a CSV file with the columns
/// `indicator,type,code,weight,origin,as_of,tlp,reference,roles`, of which `indicator` and `code` must
/// be there. `type` is a type of indicator or `network`; `roles` are separated by `;`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReputationSettings")]
pub struct Settings {
    /// The enricher's name in metrics, leads and findings. Kebab-case, unique, and never changed.
    pub name: Spanned<String>,
    /// Path of the CSV file.
    pub file: Spanned<String>,
    /// Where the claims of rows without an `origin` first came from. Claims of one origin count once.
    pub origin: Spanned<String>,
    /// The weight of rows without one: log-odds in hundredths, -1000 to 1000. Positive speaks for the
    /// role, negative against it.
    #[schemars(range(min = -1000, max = 1000))]
    pub weight: Spanned<i32>,
    /// When the claims of rows without an `as_of` were true. Without it every row needs one.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
    /// The terms under which the list came. A row's `tlp` may only narrow them.
    pub terms: Terms,
    /// How much the list is relied on, 0 to 100. Default 50 (Admiralty code f, "cannot be judged").
    #[serde(default = "reliability")]
    #[schemars(range(max = 100))]
    pub reliability: Spanned<u8>,
    /// How long a finding holds. Default 1 day.
    #[serde(default = "stale_after")]
    pub stale_after: Length,
}

fn reliability() -> Spanned<u8> {
    Spanned::unplaced(50)
}

fn stale_after() -> Length {
    Length(DAY)
}

impl Settings {
    /// The enricher over the bytes of its file, by path as written.
    pub fn open(&self, mut bytes: BTreeMap<String, Vec<u8>>) -> Result<Reputation, LoadError> {
        let bytes = take(&mut bytes, &self.file.value)?;
        let entries = Entries::read(&bytes, self).map_err(|bad| LoadError {
            file: self.file.value.clone(),
            code: "reputation-list",
            text: format!("line {}: {}", bad.line, bad.text),
        })?;
        let newest = entries.newest();
        Ok(Reputation {
            name: self.name.value.clone(),
            build: format!("{} {}", super::digest(&bytes), super::list::day_of(newest)),
            stale_after: self.stale_after.0,
            loaded: Loaded {
                part: "list".to_owned(),
                file: self.file.value.clone(),
                form: Form::List,
                kind: "list".to_owned(),
                built: Some(newest),
                size: entries.count(),
            },
            entries,
        })
    }
}

impl EnricherConfig for Settings {
    fn name(&self) -> &str {
        &self.name.value
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn reliability(&self) -> &Spanned<u8> {
        &self.reliability
    }

    fn files(&self) -> Vec<&Spanned<String>> {
        vec![&self.file]
    }

    fn check(&self, source: &Arc<Source>, out: &mut Findings) {
        let name = self.name.value.as_str();
        let is_taken = [super::geoip::NAME, super::names::NAME].contains(&name);
        if is_taken || !is_kebab_case(name) {
            let problem = if is_taken { "is the name of another enricher" } else { "is not kebab-case" };
            out.push(
                diag::Finding::error("reputation-name", format!("the list's name `{name}` {problem}"))
                    .at(self.name.place(source))
                    .help("write lower-case letters, digits and single hyphens, such as `watchlist`"),
            );
        }
        if self.weight.value.abs() > LARGEST_WEIGHT {
            out.push(
                diag::Finding::error(
                    "reputation-weight",
                    format!("a weight of {} is too large", self.weight.value),
                )
                .at(self.weight.place(source))
                .help(
                    "give log-odds in hundredths from -1000 to 1000; 150 is a good list, 300 a very good one",
                ),
            );
        }
        if self.origin.value.trim().is_empty() {
            out.push(
                diag::Finding::error("reputation-origin", "the origin of the list is empty")
                    .at(self.origin.place(source))
                    .help("say who made the claims first: copies of one list must not count twice"),
            );
        }
        super::check_stale_after(name, self.stale_after, out);
    }

    fn load(&self, bytes: BTreeMap<String, Vec<u8>>) -> Result<Arc<dyn Enricher>, LoadError> {
        Ok(Arc::new(self.open(bytes)?))
    }
}

fn is_kebab_case(text: &str) -> bool {
    text.len() <= 64
        && text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// The loaded enricher.
pub struct Reputation {
    name: String,
    build: String,
    stale_after: i64,
    loaded: Loaded,
    entries: Entries,
}

impl Reputation {
    fn evidence(&self, found: &Match<'_>) -> Evidence {
        let (code, weight, text) = match found.relation {
            Relation::Itself => {
                (found.kind.code.clone(), found.kind.weight, format!("The list {} has it.", self.name))
            }
            Relation::Network => (
                found.kind.code.clone(),
                found.kind.weight,
                format!("The list {} has {}, which it is in.", self.name, found.listed),
            ),
            Relation::Parent => (
                format!("{}-parent", found.kind.code),
                found.kind.weight / 2,
                format!("The list {} has {}, which it is under.", self.name, found.listed),
            ),
        };
        Evidence {
            code,
            text,
            weight,
            roles: found.kind.roles.clone(),
            observed_at: found.as_of,
            origin: found.kind.origin.clone(),
            reference: found.reference.map(ToOwned::to_owned),
            tlp: found.kind.tlp,
            pap: None,
        }
    }
}

impl Enricher for Reputation {
    fn name(&self) -> &str {
        &self.name
    }

    fn build(&self) -> &str {
        &self.build
    }

    fn stale_after(&self) -> i64 {
        self.stale_after
    }

    fn loaded(&self) -> Vec<Loaded> {
        vec![self.loaded.clone()]
    }

    fn finding(&self, indicator: &Indicator, _: &Answers, now: Timestamp) -> Finding {
        let evidence: Vec<_> = self.entries.of(indicator).iter().map(|found| self.evidence(found)).collect();
        let status = if evidence.is_empty() { Status::Miss } else { Status::Hit };
        Finding { evidence, ..Finding::empty(self, status, now) }
    }
}

#[cfg(test)]
mod tests;
