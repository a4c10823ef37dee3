//! Records in one redb file: crash-safe, one process at a time.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Backend, Loaded, StoreError, codec};
use crate::state::Change;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const REVISION: &str = "revision";
/// Newest format of the tables that this program knows.
const KNOWN_FORMAT: u64 = 1;

/// Pages kept in memory. The state itself is in memory already.
const CACHE_BYTES: usize = 16 << 20;

/// How a database is opened; another one than a plain file in tests.
type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send>;

/// A redb file.
pub struct Redb {
    path: PathBuf,
    open: Opener,
    /// `None` after an error: redb refuses to go on then, and the file is opened again.
    database: Option<Database>,
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Redb {
    /// Opens the file, or makes it along with its directory.
    ///
    /// # Errors
    /// The file is locked by another process, damaged, of a newer format, or the system refuses.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(
            path,
            Box::new(|path| Database::builder().set_cache_size(CACHE_BYTES).create(path)),
        )
    }

    pub(super) fn open_with(path: impl Into<PathBuf>, open: Opener) -> Result<Self, StoreError> {
        let mut store = Self {
            path: path.into(),
            open,
            database: None,
        };
        if let Some(directory) = store.path.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|e| StoreError::io(&store.path, &e))?;
        }
        store.database()?;
        Ok(store)
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() {
            let database = (self.open)(&self.path).map_err(|e| self.explain(e.into()))?;
            self.check_format(&database)?;
            self.database = Some(database);
        }
        self.database.as_ref().ok_or(StoreError::Closed)
    }

    /// Reads the format; writes it to a new file.
    fn check_format(&self, database: &Database) -> Result<(), StoreError> {
        let found = (|| -> Result<Option<u64>, redb::Error> {
            match database.begin_read()?.open_table(META) {
                Ok(meta) => Ok(meta.get(FORMAT)?.map(|v| v.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(other) => Err(other.into()),
            }
        })();
        match found.map_err(|e| self.explain(e))? {
            Some(found) if found > KNOWN_FORMAT => Err(StoreError::TooNew {
                place: self.path.display().to_string(),
                found,
                known: KNOWN_FORMAT,
            }),
            Some(_) => Ok(()),
            None => (|| -> Result<(), redb::Error> {
                let write = database.begin_write()?;
                write.open_table(META)?.insert(FORMAT, KNOWN_FORMAT)?;
                write.open_table(RECORDS)?;
                write.commit()?;
                Ok(())
            })()
            .map_err(|e| self.explain(e)),
        }
    }

    fn explain(&self, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(e) => StoreError::io(&self.path, &e),
            redb::Error::DatabaseAlreadyOpen => StoreError::Locked {
                place: self.path.display().to_string(),
            },
            redb::Error::Corrupted(detail) => StoreError::corrupt(&self.path, detail),
            redb::Error::UpgradeRequired(version) => {
                StoreError::corrupt(&self.path, format!("redb file format {version} is not known any more"))
            }
            e @ (redb::Error::TableTypeMismatch { .. } | redb::Error::RepairAborted) => {
                StoreError::corrupt(&self.path, e)
            }
            other => StoreError::io(&self.path, &io::Error::other(other.to_string())),
        }
    }

    fn try_commit(&mut self, from: u64, to: u64, changes: &[Change]) -> Result<(), StoreError> {
        let place = self.path.clone();
        let mut encoded = Vec::with_capacity(changes.len());
        for change in changes {
            let value = change.after.as_ref().map(codec::encode).transpose();
            encoded.push((
                codec::key(&change.key),
                value.map_err(|e| StoreError::corrupt(&place, e))?,
            ));
        }
        let database = self.database()?;
        let written = (|| -> Result<Option<u64>, redb::Error> {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            {
                let mut meta = write.open_table(META)?;
                let found = meta.get(REVISION)?.map_or(0, |v| v.value());
                if found != from {
                    return Ok(Some(found));
                }
                meta.insert(REVISION, to)?;
                let mut records = write.open_table(RECORDS)?;
                for (key, value) in &encoded {
                    match value {
                        Some(value) => records.insert(key.as_str(), value.as_slice())?,
                        None => records.remove(key.as_str())?,
                    };
                }
            }
            write.commit()?;
            Ok(None)
        })();
        match written.map_err(|e| self.explain(e))? {
            None => Ok(()),
            Some(found) => Err(StoreError::corrupt(
                &self.path,
                format!("is at revision {found}, not at {from}"),
            )),
        }
    }

    fn try_load(&mut self) -> Result<Loaded, StoreError> {
        let place = self.path.clone();
        let database = self.database()?;
        let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
        let revision = (|| -> Result<u64, redb::Error> {
            let read = database.begin_read()?;
            let revision = read.open_table(META)?.get(REVISION)?.map_or(0, |v| v.value());
            for row in read.open_table(RECORDS)?.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_owned(), value.value().to_owned()));
            }
            Ok(revision)
        })()
        .map_err(|e| self.explain(e))?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, value) in &rows {
            records.push(codec::decode(key, value).map_err(|e| StoreError::corrupt(&place, e))?);
        }
        records.sort_by_cached_key(crate::state::Record::key);
        Ok(Loaded { revision, records })
    }
}

impl Backend for Redb {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.try_load().inspect_err(|_| self.database = None)
    }

    fn commit(&mut self, from: u64, to: u64, changes: &[Change]) -> Result<(), StoreError> {
        self.try_commit(from, to, changes).inspect_err(|_| self.database = None)
    }
}
