//! Ordered tables of bytes on LMDB: open, read, write, walk. No network, no clock, and no idea of
//! what the bytes mean.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions};

/// Why the disk did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct StoreError {
    what: String,
    #[source]
    source: heed::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(heed::Error) -> StoreError {
    let what = what.into();
    move |source| StoreError { what, source }
}

/// One LMDB environment with a fixed set of tables. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    env: Env,
    tables: Vec<Database<Bytes, Bytes>>,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Changes to apply in one write transaction: table, key, value (none removes).
pub type Change = (usize, Vec<u8>, Option<Vec<u8>>);

impl Store {
    /// Opens, or makes, the environment in a folder with the tables named. `max_bytes` bounds the
    /// file; it costs address space, not disk.
    ///
    /// # Errors
    /// When the folder can't be made or is not LMDB's.
    pub fn open(folder: &Path, tables: &[&str], max_bytes: usize) -> Result<Self, StoreError> {
        let shown = folder.display();
        std::fs::create_dir_all(folder)
            .map_err(|err| failed(format!("making {shown}"))(heed::Error::Io(err)))?;
        let mut options = EnvOpenOptions::new();
        options.map_size(max_bytes).max_dbs(u32::try_from(tables.len()).unwrap_or(u32::MAX));
        // SAFETY: the file is mapped; it is ours alone, as the folder belongs to one process (LMDB's
        // own lock file guards it) and nothing of ours changes it but through LMDB.
        #[expect(unsafe_code, reason = "memory-mapping is what LMDB does; see SAFETY")]
        let env = unsafe { options.open(folder) }.map_err(failed(format!("opening {shown}")))?;
        let mut txn = env.write_txn().map_err(failed("beginning a write"))?;
        let mut list = Vec::with_capacity(tables.len());
        for name in tables {
            list.push(
                env.create_database(&mut txn, Some(name)).map_err(failed(format!("making table {name}")))?,
            );
        }
        txn.commit().map_err(failed("committing"))?;
        Ok(Self { env, tables: list })
    }

    /// Opens an environment that is there, to read only.
    ///
    /// # Errors
    /// When it is not there, or lacks a table.
    pub fn open_read_only(folder: &Path, tables: &[&str]) -> Result<Self, StoreError> {
        let shown = folder.display();
        let mut options = EnvOpenOptions::new();
        options.max_dbs(u32::try_from(tables.len()).unwrap_or(u32::MAX));
        // SAFETY: as in `open`; this process only reads, and LMDB keeps readers apart from a writer.
        #[expect(unsafe_code, reason = "memory-mapping is what LMDB does; see SAFETY")]
        let env = unsafe { options.flags(heed::EnvFlags::READ_ONLY).open(folder) }
            .map_err(failed(format!("opening {shown}")))?;
        let txn = env.read_txn().map_err(failed("beginning a read"))?;
        let mut list = Vec::with_capacity(tables.len());
        for name in tables {
            let table =
                env.open_database(&txn, Some(name)).map_err(failed(format!("opening table {name}")))?;
            list.push(table.ok_or_else(|| {
                failed(format!("{shown} has no table {name}"))(heed::Error::Io(
                    std::io::ErrorKind::NotFound.into(),
                ))
            })?);
        }
        // Handles of tables live on only if the transaction that opened them is committed.
        txn.commit().map_err(failed("keeping the tables open"))?;
        Ok(Self { env, tables: list })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn get(&self, table: usize, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let txn = self.env.read_txn().map_err(failed("beginning a read"))?;
        let value = self.tables[table].get(&txn, key).map_err(failed("reading"))?;
        Ok(value.map(<[u8]>::to_vec))
    }

    /// At most `limit` entries in order of key, after `after` (none for the start), while `keep`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn walk(
        &self,
        table: usize,
        after: Option<&[u8]>,
        limit: usize,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let txn = self.env.read_txn().map_err(failed("beginning a read"))?;
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = (from, std::ops::Bound::<&[u8]>::Unbounded);
        let mut found = Vec::new();
        for entry in self.tables[table].range(&txn, &range).map_err(failed("walking"))?.take(limit) {
            let (key, value) = entry.map_err(failed("walking"))?;
            if !keep(key) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    /// Applies all changes in one durable transaction.
    ///
    /// # Errors
    /// When the disk fails or the file reached its bound; nothing is changed then.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut txn = self.env.write_txn().map_err(failed("beginning a write"))?;
        for (table, key, value) in changes {
            match value {
                Some(value) => self.tables[*table].put(&mut txn, key, value).map_err(failed("writing"))?,
                None => {
                    self.tables[*table].delete(&mut txn, key).map_err(failed("removing"))?;
                }
            }
        }
        txn.commit().map_err(failed("committing"))
    }

    /// Removes everything from all tables.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn clear(&self) -> Result<(), StoreError> {
        let mut txn = self.env.write_txn().map_err(failed("beginning a write"))?;
        for table in &self.tables {
            table.clear(&mut txn).map_err(failed("clearing"))?;
        }
        txn.commit().map_err(failed("committing"))
    }

    /// How many entries a table has.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn len(&self, table: usize) -> Result<u64, StoreError> {
        let txn = self.env.read_txn().map_err(failed("beginning a read"))?;
        self.tables[table].len(&txn).map_err(failed("counting"))
    }
}
