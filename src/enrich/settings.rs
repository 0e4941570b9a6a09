//! The enrichers as a pipeline file has them, and what all of them have in common.
//!
//! To add one: a file or folder with its `Settings`, and three lines here: the variant, the arm of
//! `EnricherSettings::config`, and `mod` in the room's face. No file is read here: the shell does, and
//! hands over the bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Enricher, geoip, names, reputation};
use crate::diag::{Finding, Findings, Source, Spanned};
use crate::sighting::{Length, Terms};

/// A source of evidence, by its kind: `[[enrich]] geoip = { ... }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum EnricherSettings {
    /// Where addresses are, from MMDB files.
    Geoip(geoip::Settings),
    /// What domain names tell by themselves.
    Names(names::Settings),
    /// A list of known indicators.
    Reputation(reputation::Settings),
}

/// What every enricher's settings can do.
pub(super) trait EnricherConfig {
    fn name(&self) -> &str;
    fn terms(&self) -> &Terms;
    fn reliability(&self) -> &Spanned<u8>;
    fn files(&self) -> Vec<&Spanned<String>>;
    /// Pushes what is wrong in meaning, but for what is checked of all: reliability and files.
    fn check(&self, source: &Arc<Source>, out: &mut Findings);
    fn load(&self, bytes: BTreeMap<String, Vec<u8>>) -> Result<Arc<dyn Enricher>, LoadError>;
}

impl EnricherSettings {
    fn config(&self) -> &dyn EnricherConfig {
        match self {
            Self::Geoip(settings) => settings,
            Self::Names(settings) => settings,
            Self::Reputation(settings) => settings,
        }
    }

    /// The enricher's name; see [`Enricher::name`].
    pub fn name(&self) -> &str {
        self.config().name()
    }

    /// The terms under which its data came.
    pub fn terms(&self) -> &Terms {
        self.config().terms()
    }

    /// How much it is relied on, 0 to 100.
    pub fn reliability(&self) -> u8 {
        self.config().reliability().value
    }

    /// The files to be read for [`load`](Self::load), by path as written. One file may stand twice.
    pub fn files(&self) -> Vec<&Spanned<String>> {
        self.config().files()
    }

    /// Pushes what is wrong in meaning. Whether files exist and are sound is learnt when loading.
    pub fn check(&self, source: &Arc<Source>, out: &mut Findings) {
        let config = self.config();
        let reliability = config.reliability();
        if reliability.value > 100 {
            out.push(
                Finding::error(
                    "enricher-reliability",
                    format!("a reliability of {} is above 100", reliability.value),
                )
                .at(reliability.place(source))
                .help("give how much the source is relied on, from 0 to 100"),
            );
        }
        for file in config.files().into_iter().filter(|file| file.value.trim().is_empty()) {
            out.push(
                Finding::error(
                    "enricher-file-empty",
                    format!("the path of a file of `{}` is empty", config.name()),
                )
                .at(file.place(source))
                .help("give the path, or leave the key out"),
            );
        }
        config.check(source, out);
    }

    /// The enricher over `bytes`, which are those of [`files`](Self::files), by path as written. They
    /// move in: a database is not held twice.
    pub fn load(&self, bytes: BTreeMap<String, Vec<u8>>) -> Result<Arc<dyn Enricher>, LoadError> {
        self.config().load(bytes)
    }
}

/// Checks all enrichers of a pipeline, each and among each other.
pub fn check_all(enrichers: &[EnricherSettings], source: &Arc<Source>, out: &mut Findings) {
    for (at, settings) in enrichers.iter().enumerate() {
        settings.check(source, out);
        if enrichers[..at].iter().any(|before| before.name() == settings.name()) {
            let place = match settings {
                EnricherSettings::Reputation(settings) => settings.name.place(source),
                _ => settings.files().first().and_then(|file| file.place(source)),
            };
            out.push(
                Finding::error("enricher-twice", format!("two enrichers are called `{}`", settings.name()))
                    .at(place)
                    .help(
                        "keep one, or give a list another `name`: leads and metrics tell sources apart by it",
                    ),
            );
        }
    }
}

/// Pushes an error when findings would be stale at once: each look at a dossier would look up again.
pub(super) fn check_stale_after(name: &str, stale_after: Length, out: &mut Findings) {
    if stale_after.0 == 0 {
        out.push(
            Finding::error("enricher-always-stale", format!("`stale_after` of `{name}` is zero"))
                .help("give a time such as 1d, or leave it out"),
        );
    }
}

/// Why data could not be loaded. The old data, if there is any, goes on being used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {text}")]
pub struct LoadError {
    /// Which file, as written in the pipeline file.
    pub file: String,
    /// Kebab-case; never changes its meaning.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub text: String,
}

/// The bytes of `path` out of those that the shell read.
pub(super) fn take(bytes: &mut BTreeMap<String, Vec<u8>>, path: &str) -> Result<Vec<u8>, LoadError> {
    bytes.remove(path).ok_or_else(|| LoadError {
        file: path.to_owned(),
        code: "enricher-file-missing",
        text: "the file was not read; give the path of a file that is there".to_owned(),
    })
}

/// The first 12 hexadecimal digits of the SHA-256 of a list: which one it was.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Pipeline {
        enrich: Vec<EnricherSettings>,
    }

    fn read(text: &str) -> Result<Vec<EnricherSettings>, String> {
        toml::from_str::<Pipeline>(text)
            .map(|pipeline| pipeline.enrich)
            .map_err(|err| err.message().to_owned())
    }

    const TERMS: &str = r#"terms = { tlp = "GREEN", pap = "CLEAR", release_to = ["*"] }"#;

    #[test]
    fn settings_are_read_with_their_defaults() {
        let text = format!(
            "[[enrich]]\ngeoip = {{ city = \"c.mmdb\", asn = \"a.mmdb\", {TERMS} }}\n\
             [[enrich]]\nnames = {{ government = \"gov.csv\", {TERMS} }}\n\
             [[enrich]]\nreputation = {{ name = \"watchlist\", file = \"w.csv\", origin = \"org:us\", weight = 150, {TERMS} }}\n"
        );
        let enrichers = read(&text).unwrap();
        let shown: Vec<_> = enrichers
            .iter()
            .map(|settings| {
                let files: Vec<_> = settings.files().into_iter().map(|file| file.value.as_str()).collect();
                format!("{} {} {}", settings.name(), settings.reliability(), files.join(" "))
            })
            .collect();
        assert_eq!(shown, ["geoip 75 c.mmdb a.mmdb", "names 90 gov.csv", "watchlist 50 w.csv"]);
        let source = Source::new("p.toml", &text);
        let place = enrichers[0].files()[0].place(&source).unwrap();
        assert_eq!(&text[place.span], "\"c.mmdb\"");
        let mut out = Findings::default();
        check_all(&enrichers, &source, &mut out);
        assert_eq!(out.list(), []);
    }

    #[track_caller]
    fn check_findings(enrich: &str, expected: &[(&str, &str)]) {
        let text = enrich.replace("TERMS", TERMS);
        let source = Source::new("p.toml", &text);
        let mut out = Findings::default();
        check_all(&read(&text).unwrap(), &source, &mut out);
        let found: Vec<_> = out
            .list()
            .iter()
            .map(|finding| {
                (finding.code, finding.place.as_ref().map_or("", |place| &text[place.span.clone()]))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_in_meaning_is_found_at_its_place() {
        check_findings(
            "[[enrich]]\ngeoip = { TERMS, reliability = 101 }",
            &[("enricher-reliability", "101"), ("geoip-without-file", "101")],
        );
        check_findings(
            "[[enrich]]\ngeoip = { city = \" \", stale_after = \"0s\", TERMS }",
            &[("enricher-file-empty", "\" \""), ("enricher-always-stale", "")],
        );
        check_findings("[[enrich]]\nnames = { tld = false, TERMS }", &[("names-without-list", "")]);
        let list = "[[enrich]]\nreputation = { name = \"NAME\", file = \"w.csv\", origin = \"us\", weight = WEIGHT, TERMS }\n";
        check_findings(
            &list.replace("NAME", "watchlist").replace("WEIGHT", "1001"),
            &[("reputation-weight", "1001")],
        );
        check_findings(
            &list.replace("NAME", "Watch list").replace("WEIGHT", "1"),
            &[("reputation-name", "\"Watch list\"")],
        );
        check_findings(
            &list.replace("NAME", "geoip").replace("WEIGHT", "1"),
            &[("reputation-name", "\"geoip\"")],
        );
        check_findings(
            &list.replace("NAME", "a").replace("WEIGHT", "1").repeat(2),
            &[("enricher-twice", "\"a\"")],
        );
        check_findings(
            &"[[enrich]]\ngeoip = { city = \"c\", TERMS }\n".repeat(2),
            &[("enricher-twice", "\"c\"")],
        );
        check_findings(&"[[enrich]]\nnames = { TERMS }\n".repeat(2), &[("enricher-twice", "")]);
    }

    #[test]
    fn unknown_keys_and_enrichers_are_refused() {
        let geoip = |more: &str| format!("[[enrich]]\ngeoip = {{ city = \"c\", {TERMS}{more} }}");
        assert!(read(&geoip("")).is_ok());
        assert!(read(&geoip(", cities = \"c\"")).unwrap_err().contains("unknown field `cities`"));
        assert!(read("[[enrich]]\ngeo-ip = {}").unwrap_err().contains("unknown variant `geo-ip`"));
        assert!(read("[[enrich]]\ngeoip = { city = \"c\" }").unwrap_err().contains("missing field `terms`"));
    }

    #[test]
    fn the_schema_is_strict_and_tells_defaults() {
        let schema = serde_json::to_value(schemars::schema_for!(EnricherSettings)).unwrap();
        for name in ["GeoipSettings", "NamesSettings", "ReputationSettings"] {
            let settings = &schema["$defs"][name];
            assert_eq!(settings["additionalProperties"], serde_json::json!(false), "{name}");
            assert_eq!(settings["properties"]["reliability"]["maximum"], serde_json::json!(100), "{name}");
        }
        assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn files_that_were_not_read_are_named() {
        let text = format!("[[enrich]]\ngeoip = {{ city = \"c.mmdb\", {TERMS} }}");
        let error = read(&text).unwrap()[0].load(BTreeMap::new()).err().unwrap();
        assert_eq!(
            (error.code, error.to_string().as_str()),
            ("enricher-file-missing", "c.mmdb: the file was not read; give the path of a file that is there")
        );
    }
}
