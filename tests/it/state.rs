//! The state on disk: losing it, keeping it, or never having had it changes nothing that is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sightline::config::{self, Loaded, StageName, Stages};
use sightline::diag::Findings;
use sightline::dossier;
use sightline::sighting::time::DAY;
use sightline::stage::{Header, assess};
use sightline::stream::embedded::Cluster;
use sightline::stream::local::Local;
use sightline::stream::runner::Settings;
use sightline::stream::view::Views;

use crate::broker::now;
use crate::instance::LONG;
use crate::program::{VENDOR, World, sightings, written};

/// All stages of a pipeline in process, as `sightline run` has them: with the partitions that its file
/// says, and state on disk if there is a folder.
pub(crate) struct Run {
    loaded: Loaded,
    partitions: BTreeMap<String, i32>,
    cluster: Cluster,
    local: Option<Local>,
    fed: i32,
    /// As [`Settings::unwritten`].
    unwritten: usize,
}

impl Run {
    /// On a new cluster, which the views on disk know by this name.
    pub(crate) fn new(world: &World, folder: Option<PathBuf>, name: &str) -> Self {
        let mut findings = Findings::default();
        let loaded =
            config::load(&world.path("asean.toml"), &|path: &Path| std::fs::read(path), &mut findings);
        let loaded = loaded.unwrap_or_else(|| panic!("{}", findings.render()));
        let cluster = Cluster::new(false);
        let partitions: BTreeMap<String, i32> = config::topics(&loaded.checked)
            .iter()
            .map(|spec| (spec.name.to_string(), spec.partitions.unwrap_or(2)))
            .collect();
        for (topic, n) in &partitions {
            cluster.create_topic(topic, *n);
        }
        let mut run = Self { loaded, partitions, cluster, local: None, fed: 0, unwritten: 200_000 };
        run.start(folder, name);
        run
    }

    /// Starts a new process in place of the one before, which ended without a word.
    pub(crate) fn start(&mut self, folder: Option<PathBuf>, name: &str) {
        self.local = None;
        for stage in StageName::ALL {
            for member in 0..100 {
                self.cluster.expire_member(stage.as_str(), member);
            }
        }
        let views = folder.map_or(Views::InMemory, |folder| Views::OnDisk {
            folder,
            cluster: name.to_owned(),
            max_age: 30 * DAY,
            max_bytes: 64 << 20,
        });
        let stages = Stages::new(&self.loaded);
        let steps = StageName::ALL.into_iter().map(|stage| stages.step(stage)).collect();
        let unwritten = self.unwritten;
        let settings = Settings { every: 0, records: 20, write_behind: 0, unwritten, ..Settings::default() };
        self.local = Some(Local::new(self.cluster.clone(), steps, &settings, &views, &self.partitions));
    }

    pub(crate) fn feed(&mut self, records: &[String]) {
        for record in records {
            self.cluster.append(
                "raw.native",
                self.fed % self.partitions["raw.native"],
                None,
                Some(record.as_bytes()),
                &[],
            );
            self.fed += 1;
        }
    }

    pub(crate) fn settle(&mut self, now: &str) {
        let local = self.local.as_mut().expect("it runs");
        local.settle(now.parse().unwrap(), |_, _| {}).unwrap();
    }

    /// Everything that was written, but for where: by topic, in order.
    fn written(&self) -> BTreeMap<String, Vec<Entry>> {
        let of = |topic: &String| {
            let records = self.cluster.committed(topic).into_iter();
            records.map(|record| (record.partition, record.key, record.value, record.headers)).collect()
        };
        self.partitions.keys().map(|topic| (topic.clone(), of(topic))).collect()
    }
}

/// What is folded in the end, by key.
fn folded(run: &Run) -> BTreeMap<Vec<u8>, Vec<dossier::Fold>> {
    let mut folded = BTreeMap::new();
    for record in run.cluster.committed("sightline.dossiers") {
        let key = record.key.unwrap();
        if key != assess::SWEEP {
            folded.insert(key, dossier::decode(&record.value.unwrap()).unwrap().folds);
        }
    }
    folded
}

/// Partition, key, value, headers.
type Entry = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

const BEFORE: &str = "2026-11-20T12:00:00Z";
const AFTER: &str = "2026-11-20T14:00:00Z";

/// The same records in two halves, with `between` them whatever happens to the process and its disk.
fn halves(world: &World, folder: Option<PathBuf>, between: impl FnOnce(&mut Run)) -> Run {
    let records = written(&sightings(70, 500, 30));
    let (first, second) = records.split_at(250);
    let mut run = Run::new(world, folder, "here");
    run.feed(first);
    run.settle(BEFORE);
    between(&mut run);
    run.feed(second);
    run.settle(AFTER);
    run
}

/// What another cluster's run of so many records left in a folder, under a name.
fn foreign(world: &World, folder: &Path, name: &str, n: usize) {
    let mut run = Run::new(world, Some(folder.to_owned()), name);
    for chunk in written(&sightings(71, n, 30)).chunks(46) {
        run.feed(chunk);
        run.settle(BEFORE);
    }
}

#[test]
fn a_lost_state_directory_changes_nothing() {
    let world = World::new();
    let straight = halves(&world, None, |_| {}).written();
    let versions = |header: &str| {
        let is = |(name, value): &Header| name == "dx-version" && value == header.as_bytes();
        straight[VENDOR].iter().filter(|(_, _, _, headers)| headers.iter().any(is)).count()
    };
    assert!(versions("1") > 5, "the vendor is told of some");
    assert!(versions("2") > 5, "the second half is about what the first was about");
    assert!(straight["sightline.dossiers"].len() > 100);

    let memory = halves(&world, None, |run| run.start(None, "here"));
    assert_eq!(memory.written(), straight, "restored into memory");

    let folder = world.path("kept");
    let kept = halves(&world, Some(folder.clone()), |run| {
        run.local = None;
        let there = |topic: &str| std::fs::read_dir(folder.join(topic)).map_or(0, Iterator::count);
        assert!(there("sightline.dossiers") == 12 && there("sightline.releases") == 4);
        run.start(Some(folder.clone()), "here");
    });
    assert_eq!(kept.written(), straight, "kept on disk");

    let folder = world.path("lost");
    let lost = halves(&world, Some(folder.clone()), |run| {
        run.local = None;
        std::fs::remove_dir_all(&folder).unwrap();
        run.start(Some(folder.clone()), "here");
    });
    assert_eq!(lost.written(), straight, "lost");
}

/// More may be restored than may wait for the disk: the disk catches up though nothing is committed, or no
/// batch would ever begin again.
#[test]
fn a_state_larger_than_what_may_wait_for_the_disk_is_restored() {
    let world = World::new();
    let straight = folded(&halves(&world, None, |_| {}));
    let folder = world.path("large");
    let mut large = halves(&world, Some(folder.clone()), |run| {
        run.local = None;
        std::fs::remove_dir_all(&folder).unwrap();
        run.unwritten = 3;
        run.start(Some(folder.clone()), "here");
    });
    let until = now() + LONG;
    while folded(&large) != straight {
        assert!(now() < until, "it stands still");
        large.settle(AFTER);
    }
}

#[test]
fn the_state_of_another_cluster_is_thrown_away() {
    let world = World::new();
    let straight = halves(&world, None, |_| {}).written();
    let told = |name: &str, n: usize| {
        let folder = world.path(&format!("of-{name}-{n}"));
        let replaced = |run: &mut Run| {
            run.local = None;
            std::fs::remove_dir_all(&folder).unwrap();
            foreign(&world, &folder, name, n);
            run.start(Some(folder.clone()), "here");
        };
        halves(&world, Some(folder.clone()), replaced).written()
    };
    // It must be about as long as what it stands in for: what is longer is seen to lie outside of the log,
    // and what is shorter the log mends.
    let lengths = [110, 140, 170, 200, 230];
    for n in lengths {
        assert_eq!(told("elsewhere", n), straight, "{n}");
    }
    // It is its name alone that tells: under ours it would be believed, so the disk is what is read.
    assert!(lengths.iter().any(|n| told("here", *n) != straight));
}
