//! Reads a pipeline file and everything that it names, reporting all problems at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Pipeline, Property};
use super::topics::Topics;
use super::{
    Brake, Checked, Intake, Kafka, Key, Loaded, PlacedProperty, Reporter, Secret, check, properties, rooms,
};
use crate::diag::{Finding, Findings, Place, Severity, Source, Spanned, read as read_toml};
use crate::enrich::{Enricher, EnricherSettings};
use crate::score::Model;
use crate::share::Agreement;

/// Reads files for [`load`]; passed in, because this room opens none.
pub type Read<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Reads and checks the pipeline at `path` and all that it names through `read`; none when there was an
/// error. Paths in it are relative to it.
pub fn load(path: &Path, read: Read<'_>, findings: &mut Findings) -> Option<Loaded> {
    let mut reader =
        Reader { base: path.parent().unwrap_or(Path::new("")).to_owned(), read, files: BTreeSet::new() };
    let bytes = reader.bytes(path, None, findings)?;
    let source = text_source(path, bytes, None, findings)?;
    let loaded = load_source(reader, &source, findings);
    // Findings show the line that they stand in, and are printed and logged.
    findings.show_instead(&source, &Source::new(&source.name, properties::hide_secrets(&source.text)));
    loaded
}

fn load_source(mut reader: Reader<'_>, source: &Arc<Source>, findings: &mut Findings) -> Option<Loaded> {
    let errors_before = errors(findings);
    let file: Pipeline = read_toml(source, findings)?;
    check::check(&file, source, findings);

    let client = reader.properties(&file.kafka.client, source, findings);
    let consumer = reader.properties(&file.kafka.consumer, source, findings);
    let producer = reader.properties(&file.kafka.producer, source, findings);
    let model = reader.model(&file, source, findings);
    let agreements = reader.agreements(&file, source, findings);
    let key = reader.key(&file, source, findings);
    let enrich: Vec<EnricherSettings> = file.enrich.iter().map(|settings| settings.value.clone()).collect();
    let enrichers = reader.enrichers(&enrich, source, findings);
    let intakes: Vec<Option<Intake>> =
        file.intake.iter().map(|written| intake(written, source, findings)).collect();

    let topics = Topics::new(&file.kafka.prefix.topics.value);
    across(&file, &topics, &agreements, source, findings);
    if errors(findings) > errors_before {
        return None;
    }
    let kafka = Kafka {
        client: by_name(&client),
        consumer: by_name(&consumer),
        producer: by_name(&producer),
        group_prefix: file.kafka.prefix.groups.value.clone(),
        transaction_prefix: file.kafka.prefix.transactions.value.clone(),
        sightings: file.kafka.partitions.sightings,
        disclosures: file.kafka.partitions.disclosures,
        dead_letters: file.kafka.partitions.dead_letters,
        audiences: file.kafka.partitions.audiences,
        replication: file.kafka.replication.value,
        commit_records: file.kafka.commit.records,
        commit_every: file.kafka.commit.every.value.0,
        transaction_timeout: file.kafka.transaction_timeout.value.0,
        largest_record: file.kafka.largest_record.value,
        largest_written: check::largest_written(&file),
    };
    let checked = Checked {
        name: file.pipeline.name.value.clone(),
        kafka,
        topics,
        state_directory: reader.base.join(&file.state.directory.value),
        expire: check::expire(&file),
        reporters: file.reporter.iter().map(reporter).collect(),
        intakes: intakes.into_iter().collect::<Option<_>>()?,
        indicators: file.indicators,
        enrich,
        model: model?,
        agreements,
        key,
        minor_updates: file.share.minor_updates.value.0,
        embargo: file.share.embargo.iter().filter_map(check::embargoed).collect(),
        listen: file.serve.listen.value,
    };
    let properties = [client, consumer, producer].concat();
    Some(Loaded { checked, enrichers, properties, files: reader.files })
}

fn by_name(properties: &[PlacedProperty]) -> BTreeMap<String, Secret> {
    properties.iter().map(|property| (property.name.clone(), property.value.clone())).collect()
}

/// What concerns more than one file.
fn across(
    file: &Pipeline,
    topics: &Topics,
    agreements: &[Agreement],
    source: &Arc<Source>,
    findings: &mut Findings,
) {
    rooms::agreements(agreements, findings);
    let audiences: Vec<rooms::Audience<'_>> = agreements.iter().map(rooms::audience).collect();
    let names: Vec<(&str, Option<Place>)> =
        audiences.iter().map(|audience| (audience.topic, audience.place.clone())).collect();
    check::topic_names(file, topics, &names, source, findings);
    let mut orgs: BTreeSet<&str> = audiences.iter().map(|audience| audience.org).collect();
    orgs.extend(file.reporter.iter().map(|reporter| reporter.org.value.as_str()));
    for reporter in &file.reporter {
        check::terms(&reporter.terms.value, reporter.terms.place(source).as_ref(), &orgs, findings);
    }
    for settings in &file.enrich {
        let terms = rooms::terms(&settings.value);
        check::terms(terms, settings.place(source).as_ref(), &orgs, findings);
    }
}

fn errors(findings: &Findings) -> usize {
    findings.list().iter().filter(|finding| finding.severity == Severity::Error).count()
}

fn reporter(written: &super::file::Reporter) -> (String, Reporter) {
    let name = written.name.value.clone();
    let origin = written.origin.as_ref().map_or_else(|| name.clone(), |origin| origin.value.clone());
    let reporter = Reporter {
        org: written.org.value.clone(),
        reliability: written.reliability.percent(),
        origin,
        terms: written.terms.value.clone(),
    };
    (name, reporter)
}

fn intake(written: &super::file::Intake, source: &Arc<Source>, findings: &mut Findings) -> Option<Intake> {
    let place = written.format.place(source);
    Some(Intake {
        topic: written.topic.value.as_str().into(),
        decoder: rooms::format(&written.format.value, place.as_ref(), findings)?,
        reporters: written.reporters.iter().map(|name| name.value.clone()).collect(),
        max_sightings: written.max_sightings,
        brake: Brake {
            share: written.brake.share,
            window: written.brake.window.value.0,
            minimum: written.brake.minimum,
        },
    })
}

/// Reads files and remembers which.
struct Reader<'a> {
    base: PathBuf,
    read: Read<'a>,
    files: BTreeSet<PathBuf>,
}

impl Reader<'_> {
    /// The bytes of a file, or a finding at the place that names it.
    fn bytes(&mut self, path: &Path, place: Option<Place>, findings: &mut Findings) -> Option<Vec<u8>> {
        self.files.insert(path.to_owned());
        match (self.read)(path) {
            Ok(bytes) => Some(bytes),
            Err(err) => {
                let text = format!("cannot read {}: {err}", path.display());
                findings.push(Finding::error("unreadable-file", text).at(place));
                None
            }
        }
    }

    /// A file that the pipeline names, as text.
    fn source(
        &mut self,
        named: &Spanned<String>,
        source: &Arc<Source>,
        findings: &mut Findings,
    ) -> Option<Arc<Source>> {
        let path = self.base.join(&named.value);
        let bytes = self.bytes(&path, named.place(source), findings)?;
        text_source(&path, bytes, named.place(source), findings)
    }

    /// Properties with `file:` values read.
    fn properties(
        &mut self,
        table: &BTreeMap<String, Spanned<Property>>,
        source: &Arc<Source>,
        findings: &mut Findings,
    ) -> Vec<PlacedProperty> {
        let mut properties = Vec::new();
        for (name, written) in table {
            let place = written.place(source);
            let value = match written.value.0.strip_prefix("file:") {
                Some(path) => {
                    let path = self.base.join(path);
                    let Some(bytes) = self.bytes(&path, place.clone(), findings) else { continue };
                    let Some(secret) = text_source(&path, bytes, place.clone(), findings) else { continue };
                    secret.text.trim_end_matches(['\r', '\n']).to_owned()
                }
                None => written.value.0.clone(),
            };
            properties.push(PlacedProperty { name: name.clone(), value: Secret(value), place });
        }
        properties
    }

    fn model(&mut self, file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) -> Option<Model> {
        let source = self.source(&file.score.model, source, findings)?;
        rooms::model(&source, findings)
    }

    fn agreements(
        &mut self,
        file: &Pipeline,
        source: &Arc<Source>,
        findings: &mut Findings,
    ) -> Vec<Agreement> {
        let mut agreements = Vec::new();
        let mut seen = BTreeSet::new();
        // What is listed twice is one fault, and not one of the agreement.
        for path in file.share.agreements.iter().filter(|path| seen.insert(path.value.as_str())) {
            let agreement = self.source(path, source, findings);
            agreements.extend(agreement.and_then(|source| rooms::agreement(&source, findings)));
        }
        agreements
    }

    fn key(&mut self, file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) -> Option<Key> {
        let written = file.share.key.as_ref()?;
        let place = written.place(source);
        let Some(path) = written.value.strip_prefix("file:") else {
            findings.push(
                Finding::error("secret-in-file", "the key of disclosures stands in the pipeline file")
                    .at(place)
                    .help("put it into a file of its own and write \"file:PATH\""),
            );
            return None;
        };
        let path = self.base.join(path);
        let bytes = self.bytes(&path, place.clone(), findings)?;
        let mut key = [0; 32];
        if hex::decode_to_slice(bytes.trim_ascii(), &mut key).is_err() {
            findings.push(
                Finding::error("bad-key", format!("{} is no key", path.display()))
                    .at(place)
                    .help("it must hold 32 random bytes as 64 hexadecimal digits and nothing else"),
            );
            return None;
        }
        Some(Key(key))
    }

    fn enrichers(
        &mut self,
        settings: &[EnricherSettings],
        source: &Arc<Source>,
        findings: &mut Findings,
    ) -> Vec<Arc<dyn Enricher>> {
        rooms::enrichers(settings, source, findings);
        let mut enrichers = Vec::new();
        for settings in settings {
            let mut files = BTreeMap::new();
            let mut is_whole = true;
            for named in rooms::files(settings) {
                match self.bytes(&self.base.join(&named.value), named.place(source), findings) {
                    Some(bytes) => files.insert(named.value.clone(), bytes).map_or((), drop),
                    None => is_whole = false,
                }
            }
            if !is_whole {
                continue;
            }
            match rooms::load(settings, files) {
                Ok(enricher) => enrichers.push(enricher),
                Err(err) => {
                    let named = rooms::files(settings).into_iter().find(|named| named.value == err.file);
                    let text = format!("{}: {}", self.base.join(&err.file).display(), err.text);
                    let place = named.and_then(|named| named.place(source));
                    findings.push(Finding::error(err.code, text).at(place));
                }
            }
        }
        enrichers
    }
}

/// A file as a source of findings.
fn text_source(
    path: &Path,
    bytes: Vec<u8>,
    place: Option<Place>,
    findings: &mut Findings,
) -> Option<Arc<Source>> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source::new(path.display().to_string(), text)),
        Err(err) => {
            let at = err.utf8_error().valid_up_to();
            let text = format!("{} is not UTF-8: byte {at} does not fit", path.display());
            findings.push(Finding::error("not-utf8", text).at(place).help("save it as UTF-8"));
            None
        }
    }
}
