//! The kill test: two instances under load, killed with a transaction open, at every moment of one and
//! in every stage; one put to sleep past its time and woken. Then everything is held against what the
//! generator wrote down.
//!
//! The product has no hooks for this. Between each instance and the broker is a [`Tap`], which knows
//! from the wire when a transaction is open and holds one request or answer back while the instance
//! is killed; the broker confirms it. `SIGHTLINE_KILLS` says how many kills with an open transaction
//! there are, `SIGHTLINE_SEED` in which order, and `SIGHTLINE_KEEP` names a folder for what was written.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sightline::stage::Record;

use crate::broker::{Broker, now};
use crate::instance::{Instance, LONG, Site};
use crate::job::{NOW, RAW, Topics, loaded, make_raw_topics, read, taken_in, wait_for_stage, wait_until};
use crate::memory::{check_as_in_memory, in_memory};
use crate::tap::{Moment, Tap, Trap};
use crate::wire::{Place, Wire, send_late};
use crate::{kill_checks, kill_load};

/// The stages with what they read, and how many partitions that has.
const STAGES: [(&str, &[(&str, i32)]); 4] = [
    ("intake", &RAW),
    ("assess", &[("sightline.sightings", 12)]),
    ("release", &[("sightline.disclosures", 4)]),
    ("deliver", &[("sightline.outbox", 4)]),
];
/// How long the broker lets a transaction be open: what the pipeline has by default.
const TRANSACTION: Duration = Duration::from_secs(20);
/// How often the broker looks for those that have been open for too long.
const BROKER_LOOKS: Duration = Duration::from_millis(500);
/// After which a member that is not heard of is out; the harness says so.
const SESSION: Duration = Duration::from_secs(6);
/// From a kill until every partition of the one that was killed has a commit again.
const RECOVERY: Duration = Duration::from_secs(15);
/// What a busy machine may add to what the watch sees.
const TOLERANCE: Duration = Duration::from_secs(3);
/// Without anything to catch for so long, the other one's turn comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// When to kill: in which stage, at which moment.
type Strike = (&'static str, Moment);

/// `kills` strikes with a transaction open, each stage and moment as often as any other, and to every
/// fifth one more of which nobody but the broker knows the outcome.
fn strikes(kills: usize, rng: &mut Pcg64) -> Vec<Strike> {
    let mut all = Vec::new();
    while all.len() < kills {
        let mut round: Vec<Strike> =
            STAGES.iter().flat_map(|(stage, _)| Moment::OPEN.map(|moment| (*stage, moment))).collect();
        round.shuffle(rng);
        all.extend(round);
    }
    all.truncate(kills);
    let mut with_unknown = Vec::new();
    for (n, fifth) in all.chunks(5).enumerate() {
        with_unknown.extend(fifth);
        with_unknown.push((STAGES[n % STAGES.len()].0, Moment::Committed));
    }
    with_unknown
}

/// One of the two.
struct Party {
    name: &'static str,
    site: Site,
    tap: Tap,
    instance: Option<Instance>,
    behind: std::net::SocketAddr,
}

impl Party {
    fn start(&mut self) {
        self.instance = Some(self.site.run(self.name, NOW));
    }

    fn instance(&mut self) -> &mut Instance {
        self.instance.as_mut().unwrap()
    }

    fn lane(&self, stage: &str) -> String {
        format!("sightline.{stage}-{}-0", self.name)
    }
}

struct Arena {
    broker: Arc<Broker>,
    wire: Wire,
    parties: [Party; 2],
    /// Of each kill.
    recoveries: Vec<Duration>,
    /// Partitions of assess that had state and went from one to the other.
    moved: usize,
}

/// Who owns what: by lane, in all groups.
type Owned = BTreeMap<String, Vec<Place>>;

impl Arena {
    fn new() -> Self {
        let taps = [Tap::new(), Tap::new()];
        let addresses = taps.each_ref().map(|(tap, _)| tap.address());
        let looks = BROKER_LOOKS.as_millis();
        let broker = Arc::new(Broker::behind(
            &addresses,
            &format!("transaction.abort.timed.out.transaction.cleanup.interval.ms={looks}"),
        ));
        let mut n = 0;
        let parties = taps.map(|(tap, listener)| {
            let behind = broker.port_for(n);
            let (name, site) = (["a", "b"][n], Site::new(&tap.address().to_string(), &[]));
            tap.open(listener, behind);
            n += 1;
            Party { name, site, tap, instance: None, behind }
        });
        let wire = Wire::new(broker.bootstrap());
        Self { broker, wire, parties, recoveries: Vec::new(), moved: 0 }
    }

    /// Who owns what, and whether no group is moving anything.
    fn owned(&mut self) -> (Owned, bool) {
        let mut owned = Owned::new();
        let mut is_stable = true;
        for (stage, inputs) in STAGES {
            let (state, members) = self.wire.group(&format!("sightline.{stage}"));
            let given: usize = members.iter().map(|member| member.partitions.len()).sum();
            let all: i32 = inputs.iter().map(|(_, n)| n).sum();
            is_stable &= state == "Stable" && given == usize::try_from(all).unwrap();
            is_stable &= members.len() == 2 && members.iter().all(|member| !member.partitions.is_empty());
            for member in members {
                owned.entry(member.client).or_default().extend(member.partitions);
            }
        }
        (owned, is_stable)
    }

    /// Waits until both have partitions of every stage and nothing moves.
    #[track_caller]
    fn wait_shared(&mut self) -> Owned {
        let mut found = Owned::new();
        wait_until("both have their share of each stage", || {
            for party in &mut self.parties {
                let instance = party.instance();
                assert!(instance.is_running(), "it ended:\n{}", instance.said());
            }
            let (owned, is_stable) = self.owned();
            found = owned;
            if is_stable { Ok(()) } else { Err(format!("{found:?}")) }
        });
        found
    }

    /// What all groups have committed.
    fn committed(&mut self) -> BTreeMap<Place, i64> {
        let mut all = BTreeMap::new();
        for (stage, inputs) in STAGES {
            for (topic, n) in inputs {
                all.extend(self.wire.committed(&format!("sightline.{stage}"), topic, *n));
            }
        }
        all
    }

    /// Waits until there is a new commit in each of these partitions that was ever read; since when, and
    /// which was last.
    #[track_caller]
    fn wait_committed(
        &mut self,
        lost: &[Place],
        before: &BTreeMap<Place, i64>,
        since: Instant,
    ) -> (Duration, Place) {
        let mut left: BTreeSet<&Place> = lost.iter().filter(|place| before[*place] > 0).collect();
        let mut last = None;
        while !left.is_empty() {
            let found = self.committed();
            for place in left.clone() {
                if found[place] > before[place] {
                    left.remove(place);
                    last = Some(place.clone());
                }
            }
            if since.elapsed() > LONG {
                let said = self.parties.each_mut().map(|party| party.instance().said());
                panic!("no commit in {left:?}; {:?}\n{}\n{}", self.owned(), said[0], said[1]);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        (since.elapsed(), last.expect("it owned something that is read"))
    }

    /// Waits until a lane of one of the two is at this moment, first `first`; which, and what is held.
    #[track_caller]
    fn catch(&mut self, first: usize, (stage, moment): Strike, skip: u32) -> (usize, crate::tap::Caught) {
        for turn in 0..20 {
            let n = (first + turn) % 2;
            let party = &mut self.parties[n];
            party.tap.set(Trap { lane: party.lane(stage), moment, skip });
            if let Some(caught) = party.tap.caught(PATIENCE) {
                return (n, caught);
            }
            party.tap.release();
        }
        let said = self.parties.each_mut().map(|party| party.instance().said());
        panic!("nobody came to {stage} {moment:?}: {:?}\n{}\n{}", self.owned(), said[0], said[1]);
    }

    /// Kills one at this moment, starts it again, and waits until all that it owned goes on.
    #[track_caller]
    fn strike(&mut self, number: usize, strike: Strike, rng: &mut Pcg64) {
        let (owned, first) = (self.wait_shared(), number % 2);
        let (n, caught) = self.catch(first, strike, rng.random_range(0..4));
        let lanes = STAGES.map(|(stage, _)| self.parties[n].lane(stage));
        let party = &mut self.parties[n];
        let ids = party.tap.ids();
        let killed = now();
        party.instance.take().unwrap().kill();
        party.tap.cut();

        // What went over the wire says that it was open, and the broker says so too.
        let (lane, is_open) = (&caught.lane, strike.1 != Moment::Committed);
        assert_eq!(caught.is_open, is_open, "{strike:?} of {lane}");
        let transaction = self.wire.transaction(&caught.id).unwrap();
        let states: &[&str] = if is_open { &["Ongoing"] } else { &["PrepareCommit", "CompleteCommit"] };
        assert!(states.contains(&&*transaction.state), "{strike:?} of {lane}: {transaction:?}");
        let has_offsets = transaction.partitions.iter().any(|(topic, _)| topic == "__consumer_offsets");
        match strike.1 {
            Moment::OffsetsSent | Moment::EndAsked => assert!(has_offsets, "{transaction:?}"),
            // Offsets may be announced while the first records are still on their way.
            _ => {}
        }
        // What was on its way of other lanes has its end before offsets are looked at.
        for id in &ids {
            wait_until("what was to be ended is ended", || {
                let state = self.wire.transaction(id).map(|found| found.state).unwrap_or_default();
                if state.starts_with("Prepare") { Err(state) } else { Ok(()) }
            });
        }
        let before = self.committed();
        let party = &mut self.parties[n];
        let loses_state = rng.random_range(0..4) == 0;
        if loses_state {
            party.site.lose_state();
        }
        // Mostly it is back before the group has noticed; else the other one has to take over.
        let is_late = rng.random_range(0..6) == 0;
        if is_late {
            std::thread::sleep(SESSION);
        }
        let party = &mut self.parties[n];
        party.start();
        let lost = lanes.iter().flat_map(|lane| owned[lane].clone()).collect::<Vec<_>>();
        let (took, last) = self.wait_committed(&lost, &before, killed);
        self.recoveries.push(took);

        // A commit that was still on its way when the producer died comes too late.
        if strike.1 == Moment::EndAsked {
            let answer = send_late(self.parties[n].behind, &caught.frame);
            let code = i16::from_be_bytes(answer[12..14].try_into().unwrap());
            // INVALID_PRODUCER_EPOCH or PRODUCER_FENCED.
            assert!([47, 90].contains(&code), "a late commit of {lane} was answered with {code}");
        }
        let after = self.wait_shared();
        let gone = owned[&lanes[1]].iter().filter(|place| {
            before[*place] > 0 && !after.get(&lanes[1]).is_some_and(|held| held.contains(place))
        });
        let moved = gone.count();
        self.moved += moved;
        eprintln!(
            "kill {number}: {} in {} at {:?}{}{}: recovered after {:.1} s, {last:?} last; {moved} partitions with state moved",
            self.parties[n].name,
            strike.0,
            strike.1,
            if loses_state { ", state lost" } else { "" },
            if is_late { ", back late" } else { "" },
            took.as_secs_f64(),
        );
        std::thread::sleep(Duration::from_millis(rng.random_range(0..1_000)));
    }

    /// Puts one to sleep with a transaction open, past its session's time, and wakes it. Sleeping until
    /// after the transaction's time too, it has been put out when it wakes: it says so and ends. Else
    /// its offsets, which were on their way all the time, are refused: it takes the batch back, gives
    /// up its partitions and comes back.
    #[track_caller]
    fn sleep(&mut self, first: usize, is_long: bool) {
        let owned = self.wait_shared();
        let moment = if is_long { Moment::Produced } else { Moment::OffsetsAsked };
        let (n, caught) = self.catch(first, ("assess", moment), 0);
        assert!(caught.is_open);
        let other = self.parties[1 - n].lane("assess");
        let lane = self.parties[n].lane("assess");
        wait_until("state is in the transaction", || {
            let transaction = self.wire.transaction(&caught.id).unwrap();
            let has_state = transaction.partitions.iter().any(|(topic, _)| topic == "sightline.dossiers");
            if has_state && transaction.state == "Ongoing" { Ok(()) } else { Err(format!("{transaction:?}")) }
        });
        let slept = now();
        self.parties[n].instance().signal("STOP");
        if is_long {
            self.parties[n].tap.release();
        }
        wait_until("the other one has all its partitions", || {
            let (owned, _) = self.owned();
            let held = owned.get(&other).map_or(0, Vec::len);
            if held == 12 { Ok(()) } else { Err(format!("{owned:?}")) }
        });
        // The broker counts from its last heartbeat; it has slept for so long by its own clock too.
        std::thread::sleep(SESSION.saturating_sub(slept.elapsed()));
        let lost: Vec<Place> =
            STAGES.iter().flat_map(|(stage, _)| owned[&self.parties[n].lane(stage)].clone()).collect();
        self.moved += owned[&lane].len();
        if is_long {
            let before = self.committed();
            wait_until("its transaction is ended by the broker", || {
                let state = self.wire.transaction(&caught.id).unwrap().state;
                if state == "CompleteAbort" { Ok(()) } else { Err(state) }
            });
            assert!(slept.elapsed() + TOLERANCE >= TRANSACTION, "it was ended before its time");
            self.wait_committed(&lost, &before, slept);
        }
        let (before, woken) = (self.committed(), now());
        self.parties[n].instance().signal("CONT");
        if is_long {
            let status = self.parties[n].instance().ended();
            let said = self.parties[n].instance().said();
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains("\"code\":\"fenced\""), "{said}");
            self.parties[n].tap.cut();
            self.parties[n].start();
        } else {
            self.parties[n].tap.release();
            let instance = self.parties[n].instance();
            instance.wait_for("a batch was aborted and is done again");
            instance.wait_until("it gives up its partitions of assess", |instance| {
                let gave_up =
                    |line: &str| line.contains("given back") && line.contains("sightline.sightings");
                instance.said().lines().any(gave_up)
            });
        }
        let owned = self.wait_shared();
        let held: Vec<Place> =
            STAGES.iter().flat_map(|(stage, _)| owned[&self.parties[n].lane(stage)].clone()).collect();
        let (took, _) = self.wait_committed(&[lost, held].concat(), &before, woken);
        eprintln!(
            "sleep: {} slept {:.1} s, {}; after {:.1} s all went on",
            self.parties[n].name,
            woken.duration_since(slept).as_secs_f64(),
            if is_long { "was put out and started again" } else { "came back" },
            took.as_secs_f64()
        );
    }
}

impl Arena {
    /// Lets one wait for the answer to a commit for longer than it can: it does not know the outcome, must
    /// ask, and goes on.
    #[track_caller]
    fn keep_in_the_dark(&mut self, first: usize) {
        let owned = self.wait_shared();
        let (n, caught) = self.catch(first, ("assess", Moment::Committed), 0);
        let (before, since) = (self.committed(), now());
        let party = &mut self.parties[n];
        party.instance().wait_for("nobody knows whether a batch was committed");
        party.tap.release();
        let (took, _) = self.wait_committed(&owned[&caught.lane], &before, since);
        eprintln!(
            "dark: {} was not told of a commit, and went on after {:.1} s",
            caught.lane,
            took.as_secs_f64()
        );
    }
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_two_instances_make_is_exact_though_they_are_killed_with_transactions_open() {
    let kills = usize::try_from(number_from("SIGHTLINE_KILLS", 20)).unwrap();
    let seed = number_from("SIGHTLINE_SEED", 20_261_105);
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut arena = Arena::new();
    let broker = arena.broker.clone();
    make_raw_topics(&broker);
    let made = arena.parties[0].site.sightline(&["topics"], &["--create"]);
    assert!(made.status.success(), "{made:?}");
    let loaded = loaded(&arena.parties[0].site.pipeline());
    let folder = tempfile::Builder::new().prefix("sightline-kill-").tempdir().unwrap();
    let folder = match std::env::var_os("SIGHTLINE_KEEP") {
        Some(kept) => PathBuf::from(kept),
        None => folder.path().to_owned(),
    };
    let truth = folder.join("truth.jsonl");
    let began = now();
    for party in &mut arena.parties {
        party.start();
    }
    for party in &mut arena.parties {
        party.instance().wait_ready();
    }
    arena.wait_shared();
    let topics: BTreeMap<String, i32> = sightline::config::topics(&loaded.checked)
        .iter()
        .map(|spec| (spec.name.to_string(), spec.partitions.unwrap_or(1)))
        .chain(RAW.map(|(topic, n)| (topic.to_owned(), n)))
        .collect();
    let watch = kill_load::watch(&broker, topics.clone().into_iter().collect());
    let load = kill_load::send(&broker, seed, &truth);
    wait_until("every partition that is ever read has been read", || {
        let found = arena.committed();
        let (idle, all) = (found.values().filter(|offset| **offset == 0).count(), found.len());
        if idle * 4 < all { Ok(()) } else { Err(format!("{idle} of {all} are idle")) }
    });

    let strikes = strikes(kills, &mut rng);
    for (number, strike) in strikes.iter().enumerate() {
        if number == strikes.len() / 3 {
            arena.sleep(0, false);
        }
        if number == strikes.len() / 2 {
            arena.keep_in_the_dark(0);
        }
        if number == strikes.len() * 2 / 3 {
            arena.sleep(1, true);
        }
        arena.strike(number, *strike, &mut rng);
    }
    arena.wait_shared();

    let sent = load.stop();
    wait_until("all is taken in", || {
        let n = taken_in(&broker);
        if n == sent { Ok(()) } else { Err(format!("{n} of {sent} records")) }
    });
    for (stage, inputs) in STAGES.into_iter().skip(1) {
        for (topic, n) in inputs {
            wait_for_stage(&broker, stage, topic, *n);
        }
    }
    let longest = watch.stop();
    eprintln!("all through after {:?}", began.elapsed());
    for party in &mut arena.parties {
        let instance = party.instance();
        assert!(instance.stop().success(), "{}", instance.said());
        assert!(instance.said().contains("\"outcome\":\"clean\""), "{}", instance.said());
    }

    let raw: Vec<Record> = RAW.iter().flat_map(|(topic, _)| read(&broker, topic)).collect();
    let found: Topics = topics.keys().map(|topic| (topic.clone(), read(&broker, topic))).collect();
    let (ledger, messages) = kill_checks::export(&loaded, &found, &folder);
    let truth = kill_checks::truth(&truth);
    kill_checks::check_raw(&truth, &raw);
    kill_checks::check_outcomes(&truth, &found);
    kill_checks::check_dossiers(&truth, &found);
    kill_checks::check_disclosures(&loaded, &found);
    // The chains, the messages' digests, and all that must come out as in memory.
    let entries = check_as_in_memory(&loaded, &found, &in_memory(&loaded, &raw), &raw);
    check_verified(&arena.parties[0].site, &ledger, &messages, entries);

    let mut recoveries = arena.recoveries.clone();
    recoveries.sort_unstable();
    let at = |share: usize| recoveries[(recoveries.len() - 1) * share / 100];
    let open = strikes.iter().filter(|(_, moment)| *moment != Moment::Committed).count();
    let decided = [Moment::OffsetsSent, Moment::EndAsked];
    let between = strikes.iter().filter(|(_, moment)| decided.contains(moment)).count();
    eprintln!(
        "{} kills, {open} of them with a transaction open, {between} between offsets and commit; recovery p50 {:?}, \
         p95 {:?}, at most {:?}; {} partitions with state moved; {} raw records, {} sightings, {} versions of leads, \
         {entries} ledger entries; readers held up: {longest:?}",
        strikes.len(),
        at(50),
        at(95),
        at(100),
        arena.moved,
        raw.len(),
        found["sightline.sightings"].len(),
        found["sightline.leads"].len(),
    );
    assert!(open >= kills && between * 4 >= kills);
    assert!(arena.moved > 0, "no partition with state has moved");
    assert!(at(100) < RECOVERY, "recovery after a kill: {recoveries:?}");
    let (topic, most) = longest.iter().max_by_key(|(_, most)| **most).unwrap();
    assert!(*most < TRANSACTION + BROKER_LOOKS + TOLERANCE, "readers of {topic} were held up for {most:?}");
}

/// What verifies the export without any code of this test: the command, and the verifier that knows only
/// what is published.
fn check_verified(site: &Site, ledger: &std::path::Path, messages: &[PathBuf], entries: u64) {
    let whole = ledger.with_file_name("export.jsonl");
    let parts: Vec<Vec<u8>> = std::iter::once(ledger)
        .chain(messages.iter().map(PathBuf::as_path))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    std::fs::write(&whole, parts.concat()).unwrap();
    let verified = site.sightline(&["ledger", "verify"], &[whole.to_str().unwrap()]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{text}");
    assert!(text.contains(&format!("{entries} entries, {entries} messages: sound")), "{text}");
    crate::verify::over(&[&whole], &[]).check_sound(entries, entries);
}
