//! The stages of a pipeline, made of what its file says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Checked, Loaded, topics};
use crate::dossier::{ReporterView, Scorer};
use crate::share::Book;
use crate::share::decide::Party;
use crate::sighting::formats::ReporterBinding;
use crate::sighting::{Normaliser, Role};
use crate::stage::Step;
use crate::stage::assess::{self, Assess};
use crate::stage::deliver::{self, Deliver};
use crate::stage::intake::{self, Intake};
use crate::stage::knowledge::{Knowledge, Shared, shared};
use crate::stage::release::{self, Release};

/// The stages, in the order of a record's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageName {
    /// What was said.
    Intake,
    /// What we make of it.
    Assess,
    /// Who learns it, and when.
    Release,
    /// The copy to audience topics.
    Deliver,
}

impl StageName {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Intake, Self::Assess, Self::Release, Self::Deliver];

    /// The name in metrics, groups and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Assess => "assess",
            Self::Release => "release",
            Self::Deliver => "deliver",
        }
    }
}

/// Makes the stages of one pipeline; all that it makes share one knowledge.
#[derive(Clone)]
pub struct Stages {
    /// What they know; whoever swaps it, swaps it for all.
    pub knowledge: Shared,
    intake: Intake,
    assess: assess::Topics,
    release: release::Topics,
    deliver: deliver::Topics,
}

impl Stages {
    /// The stages of a pipeline.
    pub fn new(loaded: &Loaded) -> Self {
        let checked = &loaded.checked;
        let names = &checked.topics;
        let intakes = checked.intakes.iter().map(|intake| {
            let reporter = match intake.reporters.as_slice() {
                [one] => ReporterBinding::Bound(one.clone()),
                several => ReporterBinding::Carried(several.iter().cloned().collect::<BTreeSet<_>>()),
            };
            let topic = intake::Topic {
                format: intake.decoder.clone(),
                reporter,
                max_sightings: usize::try_from(intake.max_sightings).unwrap_or(usize::MAX),
            };
            (intake.topic.clone(), topic)
        });
        Self {
            knowledge: shared(knowledge(loaded)),
            intake: Intake::new(intake::Settings {
                topics: intakes.collect(),
                normaliser: Normaliser::new(&checked.indicators),
                sightings: names.sightings.clone(),
                dead_letters: names.dead_letters.clone(),
            }),
            assess: assess::Topics {
                sightings: names.sightings.clone(),
                leads: names.leads.clone(),
                dossiers: names.dossiers.clone(),
                disclosures: names.disclosures.clone(),
                dead_letters: names.dead_letters.clone(),
            },
            release: release::Topics {
                disclosures: names.disclosures.clone(),
                ledger: names.ledger.clone(),
                outbox: names.outbox.clone(),
                releases: names.releases.clone(),
                dead_letters: names.dead_letters.clone(),
            },
            deliver: deliver::Topics {
                outbox: names.outbox.clone(),
                disclosures: names.disclosures.clone(),
                dead_letters: names.dead_letters.clone(),
            },
        }
    }

    /// One stage, for one lane.
    pub fn step(&self, stage: StageName) -> Box<dyn Step> {
        match stage {
            StageName::Intake => Box::new(self.intake.clone()),
            StageName::Assess => Box::new(Assess::new(self.assess.clone(), self.knowledge.clone())),
            StageName::Release => Box::new(Release::new(self.release.clone(), self.knowledge.clone())),
            StageName::Deliver => Box::new(Deliver::new(self.deliver.clone(), self.knowledge.clone())),
        }
    }
}

/// What the stages know, of what was loaded.
pub fn knowledge(loaded: &Loaded) -> Knowledge {
    let checked = &loaded.checked;
    let reporters = checked.reporters.iter().map(|(name, reporter)| {
        (name.clone(), ReporterView { reliability: reporter.reliability, origin: reporter.origin.clone() })
    });
    let parties = checked.reporters.iter().map(|(name, reporter)| {
        (name.clone(), Party { org: Some(reporter.org.clone()), terms: reporter.terms.clone() })
    });
    Knowledge {
        enrichers: loaded.enrichers.clone(),
        scorer: Scorer {
            model: checked.model.clone(),
            reporters: reporters.collect(),
            sources: checked.enrich.iter().map(|one| (one.name().to_owned(), one.reliability())).collect(),
        },
        agreements: checked.agreements.iter().map(|one| (one.id.clone(), one.clone())).collect(),
        book: Book {
            reporters: parties.collect(),
            sources: checked.enrich.iter().map(|one| (one.name().to_owned(), one.terms().clone())).collect(),
            embargo: checked.embargo.iter().map(crate::sighting::Indicator::key).collect(),
            canaries: Vec::new(),
        },
        key: checked.key.as_ref().map(|key| key.reveal().to_vec()).unwrap_or_default(),
        expire: Role::ALL.into_iter().map(|role| (role, checked.expire.of(role))).collect(),
        minor_updates: checked.minor_updates,
        rules: rules(checked),
    }
}

/// The digest of what decides about sharing and scoring. When it changes, every dossier is looked at.
fn rules(checked: &Checked) -> String {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    texts.extend(checked.agreements.iter().map(|agreement| agreement.digest.clone().into_bytes()));
    texts.push(checked.model.digest.as_bytes().to_vec());
    for (name, reporter) in &checked.reporters {
        let terms = serde_json::to_vec(&reporter.terms).expect("terms are plain data");
        texts.push(
            format!("{name} {} {} {}", reporter.org, reporter.reliability, reporter.origin).into_bytes(),
        );
        texts.push(terms);
    }
    for one in &checked.enrich {
        texts.push(format!("{} {}", one.name(), one.reliability()).into_bytes());
        texts.push(serde_json::to_vec(one.terms()).expect("terms are plain data"));
    }
    texts.extend(checked.embargo.iter().map(|indicator| indicator.key().into_bytes()));
    Knowledge::rules_of(texts.iter().map(Vec::as_slice))
}

/// Every topic with one partition: for work in memory, where order is wanted and nothing is shared.
pub fn one_partition_each(checked: &Checked) -> BTreeMap<String, i32> {
    topics(checked).iter().map(|spec| (spec.name.to_string(), 1)).collect()
}

/// Where our own audience topics are, by agreement.
pub fn audiences(checked: &Checked) -> BTreeMap<String, Arc<str>> {
    checked.agreements.iter().map(|one| (one.id.clone(), Arc::from(one.topic.as_str()))).collect()
}
