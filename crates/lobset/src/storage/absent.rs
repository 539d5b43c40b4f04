//! Stubs for object stores in a build without them: every call returns an error that says so.

use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::stat::Stat;

fn refuse<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this build does not support object storage; the Python package does (pip install lobset)",
    ))
}

pub fn stat(_: &Path) -> io::Result<Stat> {
    refuse()
}

pub fn list(_: &Path) -> io::Result<Vec<(PathBuf, Stat)>> {
    refuse()
}

pub fn put(_: &Path, _: &[u8], _: Option<&Stat>) -> io::Result<bool> {
    refuse()
}

pub fn remove(_: &Path) -> io::Result<()> {
    refuse()
}

pub fn remove_all(_: &Path) -> io::Result<()> {
    refuse()
}

/// Cannot be created in this build.
pub struct Object(Infallible);

impl Object {
    pub fn new(_: &Path) -> io::Result<Self> {
        refuse()
    }

    pub fn range(&self, _: Range<u64>) -> io::Result<Bytes> {
        match self.0 {}
    }

    pub fn ranges(&self, _: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        match self.0 {}
    }
}

/// Cannot be created in this build.
pub struct Download(Infallible);

impl Download {
    pub fn open(_: &Path) -> io::Result<Self> {
        refuse()
    }
}

impl io::Read for Download {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

/// Cannot be created in this build.
pub struct Upload(Infallible);

impl Upload {
    pub fn begin(_: &Path) -> io::Result<Self> {
        refuse()
    }

    pub fn write(&mut self, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub fn finish(self) -> io::Result<()> {
        match self.0 {}
    }

    pub fn abort(self) {
        match self.0 {}
    }
}
