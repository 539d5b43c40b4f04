//! Finds everything below an input folder, including what cannot be read: the caller decides what to refuse, and
//! nothing is skipped silently.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::object;
use super::paths::is_url;
use super::stat::{Stat, regular};

/// An entry that a search finds.
#[derive(Debug)]
pub enum Entry {
    /// A regular file, or a link to one.
    File(Stat),
    /// A named pipe, a socket or a device.
    Special(io::Error),
    /// A folder that cannot be listed, a dangling link, or an entry without metadata. It may hide data.
    Unreadable(io::Error),
}

/// The result of [`search`].
#[derive(Debug, Default)]
pub struct Searched {
    /// All entries except folders that could be listed, by path.
    pub entries: Vec<(PathBuf, Entry)>,
    /// The real paths of the folders, including those that links lead to.
    pub folders: BTreeSet<PathBuf>,
}

/// Searches a folder and all folders below it. Links are followed, except hidden ones; a folder reachable by several
/// paths is searched once, by the path without links if there is one.
///
/// # Errors
/// When the folder itself cannot be listed.
pub fn search(folder: &Path) -> io::Result<Searched> {
    let mut found = Searched::default();
    if is_url(folder) {
        let objects = object::list(folder)?.into_iter();
        found.entries = objects.map(|(path, stat)| (path, Entry::File(stat))).collect();
    } else {
        let root = fs::canonicalize(folder)?;
        found.folders.insert(root.clone());
        // Links are followed only after all folders that can be reached without them have been searched.
        let mut links = Vec::new();
        found.take_folder(folder, &mut links)?;
        while let Some(link) = links.pop() {
            if let Err(e) = found.follow(&link, &root, &mut links) {
                found.entries.push((link, Entry::Unreadable(e)));
            }
        }
    }
    found.entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

impl Searched {
    fn follow(&mut self, link: &Path, root: &Path, links: &mut Vec<PathBuf>) -> io::Result<()> {
        let real = fs::canonicalize(link)?;
        if root != real && root.starts_with(&real) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is a link to a folder that contains the input folder",
            ));
        }
        if self.folders.insert(real) { self.take_folder(link, links) } else { Ok(()) }
    }

    fn take_folder(&mut self, folder: &Path, links: &mut Vec<PathBuf>) -> io::Result<()> {
        let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        // In the order of names, which does not depend on the file system.
        paths.sort();
        for path in paths {
            if let Err(e) = self.take(&path, links) {
                self.entries.push((path, Entry::Unreadable(e)));
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, links: &mut Vec<PathBuf>) -> io::Result<()> {
        let is_link = fs::symlink_metadata(path)?.is_symlink();
        let found = fs::metadata(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound if is_link => io::Error::new(e.kind(), "is a dangling symbolic link"),
            _ => e,
        })?;
        if !found.is_dir() {
            let entry = regular(found).map_or_else(Entry::Special, Entry::File);
            self.entries.push((path.to_owned(), entry));
        } else if !is_link {
            if self.folders.insert(fs::canonicalize(path)?) {
                self.take_folder(path, links)?;
            }
        } else if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            links.push(path.to_owned());
        }
        Ok(())
    }
}
