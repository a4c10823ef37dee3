//! What the plugin remembers over its own death: one small file for each thing, replaced as a whole.
//!
//! A record is written before what it tells of is done elsewhere, and removed after that is undone. So whatever exists in control or in
//! the kernel because of this plugin has a record, whenever the plugin was killed. Nothing here knows what is in a record.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};

/// A file of the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the plugin's own records: {}: {error}", path.display())]
pub(crate) struct JournalError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Records of one kind, by name. Names are made of letters, digits, `-`, `_` and `.`, and start with a letter or digit.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    directory: PathBuf,
    records: Mutex<BTreeMap<String, T>>,
}

impl<T: Clone + Serialize + DeserializeOwned> Shelf<T> {
    /// Reads what is there; makes the directory if it is not. A file that is no record (written by a newer plugin, or damaged) is put aside
    /// with a word in the log, and does not keep the plugin from starting.
    pub(crate) fn open(directory: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError {
            path: directory.to_owned(),
            error,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let extension = path.extension().and_then(|e| e.to_str());
            let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            match extension {
                Some("json") => {}
                // Of a plugin that was killed while it wrote.
                Some("new") => {
                    let _ = fs::remove_file(&path);
                    continue;
                }
                _ => continue,
            }
            let text = fs::read(&path).map_err(failed)?;
            match serde_json::from_slice(&text) {
                Ok(record) => {
                    records.insert(name, record);
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "this is no record of the plugin; it is put aside as .bad");
                    let _ = fs::rename(&path, path.with_extension("bad"));
                }
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            records: Mutex::new(records),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record.
    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.lock().get(name).cloned()
    }

    /// The first record that is so.
    pub(crate) fn find(&self, is: impl Fn(&T) -> bool) -> Option<(String, T)> {
        let records = self.lock();
        let mut found = records.iter().filter(|(_, record)| is(record));
        found.next().map(|(name, record)| (name.clone(), record.clone()))
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<(String, T)> {
        self.lock().iter().map(|(n, r)| (n.clone(), r.clone())).collect()
    }

    /// Writes a record; it is on disk when this returns.
    pub(crate) fn put(&self, name: &str, record: T) -> Result<(), JournalError> {
        self.change(name, |slot| *slot = Some(record))
    }

    /// Changes a record that is there; gives what it is now.
    pub(crate) fn update(&self, name: &str, change: impl FnOnce(&mut T)) -> Result<Option<T>, JournalError> {
        let mut result = None;
        self.change(name, |slot| {
            if let Some(record) = slot {
                change(record);
            }
            result.clone_from(slot);
        })?;
        Ok(result)
    }

    /// Removes a record, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.change(name, |slot| *slot = None)
    }

    /// Puts a new value into a record's place: `None` is no record. One change at a time; what cannot be written is not changed.
    fn change(&self, name: &str, change: impl FnOnce(&mut Option<T>)) -> Result<(), JournalError> {
        let mut records = self.lock();
        let existed = records.contains_key(name);
        let mut slot = records.get(name).cloned();
        change(&mut slot);
        match slot {
            Some(record) => {
                self.write(name, &record)?;
                records.insert(name.to_owned(), record);
            }
            None if existed => {
                self.erase(name)?;
                records.remove(name);
            }
            None => {}
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        // Names may have dots: no `with_extension`.
        self.directory.join(format!("{name}.json"))
    }

    fn write(&self, name: &str, record: &T) -> Result<(), JournalError> {
        let path = self.path(name);
        let new = self.directory.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(record)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| JournalError { path, error })
    }

    fn erase(&self, name: &str) -> Result<(), JournalError> {
        let path = self.path(name);
        let erase = || -> io::Result<()> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => File::open(&self.directory)?.sync_all(),
            }
        };
        erase().map_err(|error| JournalError {
            path: path.clone(),
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_again_and_what_was_half_written_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::<Vec<u32>>::open(directory.path()).unwrap();
        shelf.put("a.1", vec![1]).unwrap();
        shelf.put("b", vec![2]).unwrap();
        shelf.put("c", vec![3]).unwrap();
        shelf.remove("c").unwrap();
        shelf.remove("never").unwrap();
        assert_eq!(shelf.update("a.1", |r| r.push(9)).unwrap(), Some(vec![1, 9]));
        assert_eq!(shelf.update("never", |r| r.push(9)).unwrap(), None);
        fs::write(directory.path().join("b.new"), "[4").unwrap();
        fs::write(directory.path().join("d.json"), "{damaged").unwrap();

        let again = Shelf::<Vec<u32>>::open(directory.path()).unwrap();
        let all = [("a.1".to_owned(), vec![1, 9]), ("b".to_owned(), vec![2])];
        assert_eq!(again.all(), all);
        assert_eq!(again.find(|r| r.contains(&2)), Some(("b".to_owned(), vec![2])));
        assert!(directory.path().join("d.bad").exists());
        assert!(!directory.path().join("b.new").exists());
    }

    #[test]
    fn what_cannot_be_written_is_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::<u32>::open(&directory.path().join("x")).unwrap();
        shelf.put("a", 1).unwrap();
        fs::remove_dir_all(directory.path()).unwrap();
        assert!(shelf.put("a", 2).is_err());
        assert_eq!(shelf.get("a"), Some(1));
    }
}
