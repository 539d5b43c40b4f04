//! One attempt at a task: files under unique names, and a receipt that counts if it is the first one.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, InputError, Result};
use crate::output::{MARKER, RECEIPTS};
use crate::run::Monitor;
use crate::storage::checksum::{seal, unseal};
use crate::storage::{self, unique};

/// The paths of an attempt. If dropped before it is [committed](Self::commit), it removes the files it has created.
pub struct Attempt<'a> {
    pub work: PathBuf,
    pub threads: usize,
    pub monitor: &'a Monitor<'a>,
    data: PathBuf,
    key: String,
    /// Part of the names of all its files.
    name: String,
    made: Mutex<Vec<PathBuf>>,
}

impl<'a> Attempt<'a> {
    pub fn new(work: PathBuf, data: PathBuf, key: String, threads: usize, monitor: &'a Monitor<'a>) -> Self {
        Self { work, threads, monitor, data, key, name: unique(), made: Mutex::default() }
    }

    fn receipt_path(&self) -> PathBuf {
        self.work.join(RECEIPTS).join(format!("{}.json", self.key))
    }

    /// The receipt of the attempt that has already finished the task, if there is one.
    pub fn receipt(&self) -> Result<Option<String>> {
        let path = self.receipt_path();
        match storage::read(&path) {
            Ok(sealed) => match unseal(&sealed) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(e) => Err(Error::read_back(&path, &e)),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(InputError::unread(&path, e).into()),
        }
    }

    /// Path of a new work file in one of the folders of work files.
    pub fn file(&self, folder: &str, extension: &str) -> PathBuf {
        self.make(|n| self.work.join(folder).join(format!("{}-{}-{n}.{extension}", &self.key[..16], self.name)))
    }

    /// Path of a new dataset, with the stem of its file name.
    pub fn dataset(&self, stem: &str) -> PathBuf {
        self.make(|_| self.data.join(format!("{stem}.{}.parquet", self.name)))
    }

    fn make(&self, path: impl FnOnce(usize) -> PathBuf) -> PathBuf {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path(made.len());
        made.push(path.clone());
        path
    }

    /// Stores the receipt unless one is already stored, and returns the stored one.
    pub fn commit(self, receipt: String) -> Result<String> {
        let path = self.receipt_path();
        let fail = |e| Error::output(&path, e);
        if !storage::put_new(&path, seal(&receipt).as_bytes()).map_err(fail)? {
            let first = self.receipt()?.unwrap_or_default();
            if first == receipt {
                self.keep();
            }
            return Ok(first);
        }
        // The run may have ended while this machine was unreachable; nothing else would clean up then.
        let marker = self.work.join(MARKER);
        if storage::stat(&marker).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            storage::remove(&path).map_err(fail)?;
            return Err(Error::Interrupted);
        }
        self.keep();
        Ok(receipt)
    }

    fn keep(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner);
        for path in made.iter() {
            // The original error is more useful than one about a file that could not be removed.
            let _ = storage::remove(path);
        }
    }
}
