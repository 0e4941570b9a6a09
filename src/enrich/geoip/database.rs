//! One GeoIP database: opened from bytes, verified, and known to say what it is for.
//!
//! It reads no file: the bytes are given, so that nobody can change them underneath.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use maxminddb::{Reader, WithinOptions};
use serde::de::IgnoredAny;

use super::Part;
use super::record::{Facts, Record};
use super::write;
use crate::enrich::LoadError;
use crate::sighting::Timestamp;

/// How many networks from the start of a file are sampled: all of a small file.
const SAMPLED_NETWORKS: usize = 512;

/// 9999-12-31T00:00:00Z in seconds: a build after it is a broken file, and could not be printed.
const LAST_EPOCH: u64 = 253_402_214_400;

/// A verified database.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    built: Timestamp,
}

impl Database {
    /// Opens and verifies `bytes`, which were read from `file`.
    pub(super) fn open(file: &str, mut bytes: Vec<u8>) -> Result<Self, LoadError> {
        let corrupt = |err: &dyn std::fmt::Display| LoadError {
            file: file.to_owned(),
            code: "geoip-corrupt",
            text: format!(
                "not a sound MaxMind DB file ({err}); fetch it again, unpacked, and replace it whole"
            ),
        };
        let known = Reader::from_source(bytes.as_slice()).map_err(|err| corrupt(&err))?.metadata().clone();
        // The format leaves the description out if it likes, the verifier insists on one, and files made
        // from lists have none. So the verifier gets one; all else is verified as it stands.
        if known.description.is_empty() {
            describe(&mut bytes, &known);
        }
        let reader = Reader::from_source(bytes).map_err(|err| corrupt(&err))?;
        // A file may open, answer and still be corrupt: only the verifier finds that.
        reader.verify().map_err(|err| corrupt(&err))?;
        let epoch = reader.metadata().build_epoch;
        if epoch > LAST_EPOCH {
            return Err(corrupt(&format_args!("built {epoch} seconds after 1970")));
        }
        let built = Timestamp(i64::try_from(epoch).map_or(i64::MAX, |seconds| seconds.saturating_mul(1000)));
        Ok(Self { reader, built })
    }

    /// The name of the layout, from the file.
    pub(super) fn database_type(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was built.
    pub(super) fn built(&self) -> Timestamp {
        self.built
    }

    /// How large it is.
    pub(super) fn node_count(&self) -> u64 {
        u64::from(self.reader.metadata().node_count)
    }

    /// Whether it can have anything on `ip`: a file of IPv4 only has nothing on IPv6.
    pub(super) fn covers(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() || self.reader.metadata().ip_version == 6
    }

    /// What it says of `ip`, which it [covers](Self::covers); nothing for an address without a record
    /// and for a record without content.
    pub(super) fn facts(&self, ip: IpAddr) -> Result<Facts, maxminddb::MaxMindDbError> {
        let record: Option<Record<'_>> = self.reader.lookup(ip)?.decode()?;
        Ok(record.map(|record| record.facts()).unwrap_or_default())
    }

    /// Errs unless some record says what a database in `part` is there to say.
    ///
    /// Decoding a file in a layout that it does not have is no error; it says nothing, for every
    /// address, for ever. So this looks at the first networks, which are all of a small file, and at
    /// addresses from everywhere.
    pub(super) fn check_says(&self, part: Part, file: &str) -> Result<(), LoadError> {
        let everywhere = (1..=223).flat_map(|a| [0, 60, 120, 180, 240].map(|b| Ipv4Addr::new(a, b, 1, 1)));
        let mut sampled = 0;
        for ip in everywhere {
            let result = self.reader.lookup(IpAddr::V4(ip)).ok();
            let Some(result) = result.filter(maxminddb::LookupResult::has_data) else { continue };
            sampled += 1;
            if result
                .decode::<Record<'_>>()
                .is_ok_and(|record| record.is_some_and(|r| part.is_said(&r.facts())))
            {
                return Ok(());
            }
        }
        let mut keys = None;
        let networks = self.reader.networks(WithinOptions::default()).into_iter().flatten();
        for result in networks.take(SAMPLED_NETWORKS).flatten() {
            sampled += 1;
            if result
                .decode::<Record<'_>>()
                .is_ok_and(|record| record.is_some_and(|r| part.is_said(&r.facts())))
            {
                return Ok(());
            }
            let seen = || result.decode::<BTreeMap<&str, IgnoredAny>>().ok().flatten();
            keys = keys.or_else(|| seen().filter(|keys| !keys.is_empty()));
        }
        let keys = keys.map_or_else(
            || "whose records have no keys".to_owned(),
            |keys| format!("with the keys {}", keys.into_keys().take(8).collect::<Vec<_>>().join(", ")),
        );
        Err(LoadError {
            file: file.to_owned(),
            code: "geoip-decodes-nothing",
            text: format!(
                "none of {sampled} sampled records of this `{}` database, {keys}, has {}; \
                 give a database that does, or name this one for what it is",
                self.database_type(),
                part.wanted(),
            ),
        })
    }
}

/// Replaces the metadata of a database by the same with a description.
fn describe(bytes: &mut Vec<u8>, known: &maxminddb::Metadata) {
    let marker = write::METADATA_MARKER;
    let end = bytes.windows(marker.len()).rposition(|window| window == marker).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes.extend(write::metadata(&write::Metadata {
        database_type: &known.database_type,
        build_epoch: known.build_epoch,
        ip_version: known.ip_version,
        node_count: known.node_count,
        record_size: known.record_size,
    }));
}
