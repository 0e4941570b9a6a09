//! The state of one partition: a view of a compacted topic, in memory or on disk behind the commit.
//!
//! What was committed is in the overlay at once and on disk a little later, written by a background
//! thread in key order with the offset that it reflects. Losing the disk loses nothing: a view is
//! rebuilt from its topic. A view on disk names its cluster, topic, partition and format, and is
//! thrown away when any differs, when it is too old to have seen every tombstone, or when its
//! offset lies outside of the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sighting::Timestamp;
use crate::stage::State;
use crate::store::{Change, Store, StoreError};

/// Sixteen bytes of SHA-256 of a key: the order of a view, and LMDB's key.
pub type Id = [u8; 16];

const ENTRIES: usize = 0;
const WAKES: usize = 1;
const META: usize = 2;
/// The tables of a view on disk.
pub const TABLES: [&str; 3] = ["entries", "wakes", "meta"];
const IDENTITY: &[u8] = b"identity";
/// The layout of what is on disk.
const LAYOUT: u32 = 1;
/// Batches that may wait for the background thread; with more, the overlay grows until it has room.
const QUEUE: usize = 4;

/// The id of a key.
pub fn id_of(key: &[u8]) -> Id {
    let digest = Sha256::digest(key);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// What a view on disk says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    layout: u32,
    /// The cluster's id.
    pub cluster: String,
    /// The state topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    identity: Identity,
    /// Everything before this offset is in it.
    offset: i64,
    written_at: Timestamp,
}

impl Identity {
    /// The identity of a view of this layout.
    pub fn new(cluster: impl Into<String>, topic: impl Into<String>, partition: i32) -> Self {
        Self { layout: LAYOUT, cluster: cluster.into(), topic: topic.into(), partition }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    wake: Option<Timestamp>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + self.key.len() + self.value.len());
        bytes.extend(self.wake.map_or(i64::MAX, |wake| wake.0).to_be_bytes());
        bytes.extend(u32::try_from(self.key.len()).expect("keys are short").to_be_bytes());
        bytes.extend(&self.key);
        bytes.extend(&self.value);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (wake, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (key, value) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let wake = i64::from_be_bytes(*wake);
        Some(Self {
            wake: (wake != i64::MAX).then_some(Timestamp(wake)),
            key: key.to_vec(),
            value: value.to_vec(),
        })
    }
}

/// The order of wake-ups as bytes: earlier first, negative times too.
fn wake_key(wake: Timestamp, id: &Id) -> Vec<u8> {
    let mut bytes = (wake.0 ^ i64::MIN).to_be_bytes().to_vec();
    bytes.extend(id);
    bytes
}

fn wake_of_key(key: &[u8]) -> Option<(Timestamp, Id)> {
    let (wake, id) = key.split_first_chunk::<8>()?;
    Some((Timestamp(i64::from_be_bytes(*wake) ^ i64::MIN), id.try_into().ok()?))
}

/// The committed state of one partition.
pub struct View {
    /// What is not on disk yet; in memory, everything.
    overlay: BTreeMap<Id, Option<Entry>>,
    wakes: BTreeSet<(Timestamp, Id)>,
    offset: i64,
    disk: Option<Disk>,
}

struct Disk {
    store: Store,
    identity: Identity,
    /// Ids changed since the last batch that went to the background thread.
    dirty: BTreeSet<Id>,
    /// Batches under way, oldest first.
    under_way: VecDeque<BTreeMap<Id, Option<Entry>>>,
    to_writer: Option<SyncSender<Vec<Change>>>,
    written: Receiver<Result<(), StoreError>>,
    writer: Option<JoinHandle<()>>,
}

impl View {
    /// An empty view in memory.
    pub fn in_memory() -> Self {
        Self { overlay: BTreeMap::new(), wakes: BTreeSet::new(), offset: 0, disk: None }
    }

    /// The view in a folder, emptied if it is another's or was written before `not_before`.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn on_disk(
        folder: &Path,
        identity: Identity,
        not_before: Timestamp,
        max_bytes: usize,
    ) -> Result<Self, StoreError> {
        let store = Store::open(folder, &TABLES, max_bytes)?;
        let stamp: Option<Stamp> =
            store.get(META, IDENTITY)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let offset = match stamp {
            Some(stamp) if stamp.identity == identity && stamp.written_at >= not_before => stamp.offset,
            _ => {
                store.clear()?;
                0
            }
        };
        let (to_writer, jobs) = sync_channel::<Vec<Change>>(QUEUE);
        let (done, written) = std::sync::mpsc::channel();
        let at_work = store.clone();
        let writer = std::thread::Builder::new()
            .name(format!("view-{}-{}", identity.topic, identity.partition))
            .spawn(move || {
                while let Ok(changes) = jobs.recv() {
                    if done.send(at_work.write(&changes)).is_err() {
                        break;
                    }
                }
            })
            .expect("the system lets us start a thread");
        let disk = Disk {
            store,
            identity,
            dirty: BTreeSet::new(),
            under_way: VecDeque::new(),
            to_writer: Some(to_writer),
            written,
            writer: Some(writer),
        };
        Ok(Self { overlay: BTreeMap::new(), wakes: BTreeSet::new(), offset, disk: Some(disk) })
    }

    /// Everything of the topic before this offset is in it.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// How many entries wait to be written to disk; without a disk, none.
    pub fn unwritten(&self) -> usize {
        self.disk.as_ref().map_or(0, |_| self.overlay.len())
    }

    /// Empties it, to be rebuilt from the start of its topic.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        self.overlay.clear();
        self.wakes.clear();
        self.offset = 0;
        if let Some(disk) = &mut self.disk {
            disk.wait_for_all()?;
            disk.dirty.clear();
            disk.store.clear()?;
        }
        Ok(())
    }

    /// Applies one committed change.
    ///
    /// # Panics
    /// When the disk can't be read: there is no way on.
    pub fn apply(&mut self, key: &[u8], value: Option<Vec<u8>>, wake: Option<Timestamp>) {
        let id = id_of(key);
        if let Some(Some(old)) = self.overlay.get(&id)
            && let Some(at) = old.wake
        {
            self.wakes.remove(&(at, id));
        }
        let entry = value.map(|value| Entry { wake, key: key.to_vec(), value });
        if let Some(at) = entry.as_ref().and_then(|entry| entry.wake) {
            self.wakes.insert((at, id));
        }
        match &mut self.disk {
            Some(disk) => {
                disk.dirty.insert(id);
                self.overlay.insert(id, entry);
            }
            None if entry.is_none() => {
                self.overlay.remove(&id);
            }
            None => {
                self.overlay.insert(id, entry);
            }
        }
    }

    /// Says that everything before `offset` was applied.
    pub fn reached(&mut self, offset: i64) {
        self.offset = self.offset.max(offset);
    }

    /// The value of a key.
    ///
    /// # Panics
    /// When the disk can't be read: there is no way on.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.entry(&id_of(key)).filter(|entry| entry.key == key).map(|entry| entry.value)
    }

    fn entry(&self, id: &Id) -> Option<Entry> {
        if let Some(entry) = self.overlay.get(id) {
            return entry.clone();
        }
        let disk = self.disk.as_ref()?;
        let bytes = disk.store.get(ENTRIES, id).expect("the state on disk can be read");
        bytes.and_then(|bytes| Entry::from_bytes(&bytes))
    }

    /// At most `limit` keys that want to be looked at by `now`, earliest first.
    ///
    /// # Panics
    /// When the disk can't be read: there is no way on.
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<Vec<u8>> {
        let mut found: Vec<(Timestamp, Id)> =
            self.wakes.iter().take_while(|(at, _)| *at <= now).take(limit).copied().collect();
        if let Some(disk) = &self.disk {
            // Entries of the overlay hide those on disk, so as many more are looked at.
            let on_disk = disk
                .store
                .walk(WAKES, None, limit + self.overlay.len(), |key| {
                    wake_of_key(key).is_some_and(|(at, _)| at <= now)
                })
                .expect("the state on disk can be read");
            let shown = on_disk.iter().filter_map(|(key, _)| wake_of_key(key));
            found.extend(shown.filter(|(_, id)| !self.overlay.contains_key(id)));
            found.sort_unstable();
            found.truncate(limit);
        }
        found.iter().filter_map(|(_, id)| self.entry(id)).map(|entry| entry.key).collect()
    }

    /// At most `limit` keys in order of id after `cursor`, and the cursor to go on from.
    ///
    /// # Panics
    /// When the disk can't be read: there is no way on.
    pub fn scan(&self, cursor: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let after: Option<Id> = cursor.try_into().ok();
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut ids: BTreeSet<Id> =
            self.overlay.range((from, std::ops::Bound::Unbounded)).take(limit).map(|(id, _)| *id).collect();
        if let Some(disk) = &self.disk {
            let on_disk = disk
                .store
                .walk(ENTRIES, after.as_ref().map(<[u8; 16]>::as_slice), limit, |_| true)
                .expect("the state on disk can be read");
            ids.extend(on_disk.iter().filter_map(|(id, _)| Id::try_from(id.as_slice()).ok()));
        }
        let page: Vec<Id> = ids.into_iter().take(limit).collect();
        let next = (page.len() == limit).then(|| page.last().map(|id| id.to_vec())).flatten();
        (page.iter().filter_map(|id| self.entry(id)).map(|entry| entry.key).collect(), next)
    }

    /// Hands what changed to the background thread, as of `offset` and at `now`. Does nothing when
    /// that thread is still behind: the overlay goes on growing, and [`View::unwritten`] shows it.
    ///
    /// # Errors
    /// When an earlier write failed: the disk is full or gone.
    pub fn write_behind(&mut self, offset: i64, now: Timestamp) -> Result<(), StoreError> {
        self.reached(offset);
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.settle(&mut self.overlay, &mut self.wakes)?;
        if disk.dirty.is_empty() || disk.under_way.len() >= QUEUE {
            return Ok(());
        }
        let mut changes = Vec::with_capacity(disk.dirty.len() * 2 + 1);
        let mut batch = BTreeMap::new();
        for id in &disk.dirty {
            let entry = self.overlay.get(id).cloned().flatten();
            let before = disk.store.get(ENTRIES, id)?.and_then(|bytes| Entry::from_bytes(&bytes));
            let old_wakes = before
                .into_iter()
                .chain(disk.under_way.iter().filter_map(|sent| sent.get(id).cloned().flatten()))
                .filter_map(|entry| entry.wake);
            changes.extend(old_wakes.map(|at| (WAKES, wake_key(at, id), None)));
            if let Some(at) = entry.as_ref().and_then(|entry| entry.wake) {
                changes.push((WAKES, wake_key(at, id), Some(Vec::new())));
            }
            changes.push((ENTRIES, id.to_vec(), entry.as_ref().map(Entry::to_bytes)));
            batch.insert(*id, entry);
        }
        let stamp = Stamp { identity: disk.identity.clone(), offset: self.offset, written_at: now };
        let stamp = serde_json::to_vec(&stamp).expect("a stamp is plain data");
        changes.push((META, IDENTITY.to_vec(), Some(stamp)));
        match disk.to_writer.as_ref().map(|writer| writer.try_send(changes)) {
            Some(Ok(())) => {
                disk.under_way.push_back(batch);
                disk.dirty.clear();
                Ok(())
            }
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => Ok(()),
        }
    }
}

impl Disk {
    /// Takes out of the overlay what has reached the disk and did not change since.
    fn settle(
        &mut self,
        overlay: &mut BTreeMap<Id, Option<Entry>>,
        wakes: &mut BTreeSet<(Timestamp, Id)>,
    ) -> Result<(), StoreError> {
        while let Ok(result) = self.written.try_recv() {
            result?;
            let Some(batch) = self.under_way.pop_front() else { continue };
            for (id, entry) in batch {
                let newer =
                    self.dirty.contains(&id) || self.under_way.iter().any(|sent| sent.contains_key(&id));
                if !newer {
                    overlay.remove(&id);
                    if let Some(at) = entry.and_then(|entry| entry.wake) {
                        wakes.remove(&(at, id));
                    }
                }
            }
        }
        Ok(())
    }

    fn wait_for_all(&mut self) -> Result<(), StoreError> {
        while self.under_way.pop_front().is_some() {
            match self.written.recv() {
                Ok(result) => result?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.to_writer = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was already seen as a missing answer; there is nobody to tell.
            drop(writer.join());
        }
    }
}

/// Opens the views of one stage.
#[derive(Debug, Clone)]
pub enum Views {
    /// Nothing on disk.
    InMemory,
    /// One folder a partition.
    OnDisk {
        /// The folder of the stage.
        folder: PathBuf,
        /// The cluster's id.
        cluster: String,
        /// Older than this, and a view is rebuilt: half of the topic's `delete.retention.ms`.
        max_age: i64,
        /// Bound of one partition's file.
        max_bytes: usize,
    },
}

impl Views {
    /// The view of one partition of a state topic.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn open(&self, topic: &str, partition: i32, now: Timestamp) -> Result<View, StoreError> {
        match self {
            Self::InMemory => Ok(View::in_memory()),
            Self::OnDisk { folder, cluster, max_age, max_bytes } => View::on_disk(
                &Self::folder_of(folder, topic, partition),
                Identity::new(cluster, topic, partition),
                now.plus(-max_age),
                *max_bytes,
            ),
        }
    }

    /// Where the view of a partition lies.
    pub fn folder_of(folder: &Path, topic: &str, partition: i32) -> PathBuf {
        folder.join(topic).join(partition.to_string())
    }
}

/// Reads the value of a key from a view on disk that another process may own.
///
/// # Errors
/// When there is no view there.
pub fn read_only(folder: &Path, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let store = Store::open_read_only(folder, &TABLES)?;
    let entry = store.get(ENTRIES, &id_of(key))?.and_then(|bytes| Entry::from_bytes(&bytes));
    Ok(entry.filter(|entry| entry.key == key).map(|entry| entry.value))
}

/// What a batch changes, over what was committed.
pub(super) struct Delta<'a> {
    view: &'a View,
    changes: BTreeMap<Id, (Vec<u8>, Option<Vec<u8>>)>,
}

impl<'a> Delta<'a> {
    pub(super) fn over(view: &'a View) -> Self {
        Self { view, changes: BTreeMap::new() }
    }

    /// The changes in order of id, each key once.
    pub(super) fn into_changes(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.changes.into_values().collect()
    }
}

impl State for Delta<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.get(&id_of(key)) {
            Some((changed, value)) if changed == key => value.clone(),
            _ => self.view.get(key),
        }
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.changes.insert(id_of(key), (key.to_vec(), value));
    }

    fn scan(&self, cursor: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        self.view.scan(cursor, limit)
    }
}
