//! Objects in a store, behind blocking calls: requests run on their own small runtime.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, WriteMultipart, coalesce_ranges,
};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use url::Url;

use super::credentials::{self, Refusal};
use super::stat::Stat;
use crate::error::Explained;

/// Size of a piece of a stream, in bytes: large enough that the latency of its request is negligible.
const PIECE: u64 = 8 << 20;

/// Pieces of a stream that are requested before they are needed.
const AHEAD: usize = 2;

/// Size of a part of an upload, in bytes. S3 accepts 10,000 parts, so an object may have up to 156 GiB.
const PART: usize = 16 << 20;

/// Parts of an upload that may be in flight.
const UPLOADS: usize = 3;

/// Ranges no further apart than this, in bytes, share a request: reading the gap costs less than the latency of another
/// request.
const GAP: u64 = 256 << 10;

/// State that all requests of a process share.
struct Client {
    process: u32,
    runtime: Runtime,
    /// The client of each bucket: clients keep connections and credentials.
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    /// Buckets without credentials, and the variables at that time: looking for credentials takes seconds.
    refused: Mutex<HashMap<String, (Variables, Explained)>>,
}

/// The environment variables that are valid UTF-8.
type Variables = Vec<(String, String)>;

/// The client of this process. A forked process creates its own, because it does not have the threads of its parent's
/// runtime.
fn client() -> io::Result<&'static Client> {
    static CLIENT: RwLock<Option<&Client>> = RwLock::new(None);
    let process = std::process::id();
    let mine = |client: &&Client| client.process == process;
    if let Some(client) = CLIENT.read().unwrap_or_else(PoisonError::into_inner).filter(mine) {
        return Ok(client);
    }
    let mut held = CLIENT.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = held.filter(mine) {
        return Ok(client);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(*held.insert(Box::leak(Box::new(Client {
        process,
        runtime,
        stores: Mutex::default(),
        refused: Mutex::default(),
    }))))
}

fn runtime() -> io::Result<&'static Runtime> {
    Ok(&client()?.runtime)
}

fn wait<T>(work: impl Future<Output = object_store::Result<T>>) -> io::Result<T> {
    runtime()?.block_on(work).map_err(failure)
}

/// Converts a store's error to an [`io::Error`] of the kind that callers act on.
fn failure(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::UnknownConfigurationKey { .. } => {
            io::ErrorKind::InvalidInput
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
}

/// An object, or the place for one.
#[derive(Clone)]
pub struct Object {
    store: Arc<dyn ObjectStore>,
    /// `scheme://bucket`.
    root: String,
    key: Key,
}

impl Object {
    /// The object at a URL. Its key is taken from the URL, byte for byte.
    pub fn new(path: &Path) -> io::Result<Self> {
        let text = path.to_str().ok_or_else(|| invalid("is not valid UTF-8"))?.trim_end_matches('/');
        let bucket = text.find("://").map_or(0, |at| at + 3);
        let end = text[bucket..].find('/').map_or(text.len(), |at| bucket + at);
        let (root, key) = (&text[..end], text[end..].trim_start_matches('/'));
        Ok(Self { store: store(root)?, root: root.to_owned(), key: Key::parse(key).map_err(invalid)? })
    }

    pub fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        wait(self.store.get_range(&self.key, range))
    }

    pub fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        wait(coalesce_ranges(ranges, |range| self.store.get_range(&self.key, range), GAP))
    }
}

/// The client of a bucket.
fn store(root: &str) -> io::Result<Arc<dyn ObjectStore>> {
    let Client { runtime, stores, refused, .. } = client()?;
    let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(root) {
        return Ok(Arc::clone(store));
    }
    Url::parse(root).map_err(invalid)?;
    // Credentials are always UTF-8, and other variables do not matter.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let variables: Variables = variables.collect();
    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
    let denied = |explained: &Explained| io::Error::new(io::ErrorKind::PermissionDenied, explained.clone());
    if let Some((_, explained)) = refused.get(root).filter(|(same, _)| *same == variables) {
        return Err(denied(explained));
    }
    let store = match credentials::client(root, &variables, runtime) {
        Ok(store) => store,
        Err(Refusal::Store(error)) => return Err(failure(error)),
        Err(Refusal::Missing(explained)) => {
            let error = denied(&explained);
            refused.insert(root.to_owned(), (variables, explained));
            return Err(error);
        }
    };
    stores.insert(root.to_owned(), Arc::clone(&store));
    Ok(store)
}

impl From<&ObjectMeta> for Stat {
    fn from(found: &ObjectMeta) -> Self {
        let version = found.e_tag.as_ref().or(found.version.as_ref());
        // Azure's listings omit the quotes around a tag, and S3's times of single objects have no fractions.
        let version = version.map(|tag| tag.trim_matches('"').to_owned());
        let version = version.unwrap_or_else(|| found.last_modified.timestamp().to_string());
        Self { bytes: found.size, version }
    }
}

pub fn stat(path: &Path) -> io::Result<Stat> {
    let object = Object::new(path)?;
    wait(object.store.head(&object.key)).map(|found| (&found).into())
}

pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, Stat)>> {
    let Object { store, root, key } = Object::new(folder)?;
    let found: Vec<ObjectMeta> = wait(store.list(Some(&key)).try_collect())?;
    Ok(found.iter().map(|meta| (PathBuf::from(format!("{root}/{}", meta.location)), meta.into())).collect())
}

/// Creates an object, or replaces the version `seen`; false if something else is there.
pub fn put(path: &Path, bytes: &[u8], seen: Option<&Stat>) -> io::Result<bool> {
    let Object { store, key, .. } = Object::new(path)?;
    let mode = match seen {
        None => PutMode::Create,
        Some(seen) => {
            let now = wait(store.head(&key))?;
            if Stat::from(&now) != *seen {
                return Ok(false);
            }
            PutMode::Update(UpdateVersion { e_tag: now.e_tag, version: now.version })
        }
    };
    match runtime()?.block_on(store.put_opts(&key, bytes.to_vec().into(), mode.into())) {
        Ok(_) => Ok(true),
        // A retried request may find the object that its first attempt has written.
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
            let mut found = Vec::new();
            Download::open(path)?.read_to_end(&mut found)?;
            Ok(found == bytes)
        }
        Err(e) => Err(failure(e)),
    }
}

pub fn remove(path: &Path) -> io::Result<()> {
    let object = Object::new(path)?;
    wait(object.store.delete(&object.key))
}

pub fn remove_all(folder: &Path) -> io::Result<()> {
    let Object { store, key, .. } = Object::new(folder)?;
    let found = store.list(Some(&key)).map_ok(|meta| meta.location).boxed();
    wait(store.delete_stream(found).try_for_each(|_| std::future::ready(Ok(()))))
}

/// An object read from its start, in pieces that are requested ahead. All pieces are from the version that was found
/// first; it is an error if the object is replaced in the meantime.
pub struct Download {
    object: Object,
    version: Option<String>,
    /// The first byte that has not been requested.
    next: u64,
    bytes: u64,
    coming: VecDeque<JoinHandle<object_store::Result<Bytes>>>,
    piece: Bytes,
}

impl Download {
    pub fn open(path: &Path) -> io::Result<Self> {
        let object = Object::new(path)?;
        let found = wait(object.store.head(&object.key))?;
        let mut stream = Self {
            object,
            version: found.e_tag,
            next: 0,
            bytes: found.size,
            coming: VecDeque::new(),
            piece: Bytes::new(),
        };
        stream.ask()?;
        Ok(stream)
    }

    fn ask(&mut self) -> io::Result<()> {
        while self.coming.len() < AHEAD && self.next < self.bytes {
            let range = self.next..(self.next + PIECE).min(self.bytes);
            self.next = range.end;
            let Object { store, key, .. } = self.object.clone();
            let options =
                GetOptions { range: Some(range.into()), if_match: self.version.clone(), ..GetOptions::default() };
            let get = async move { store.get_opts(&key, options).await?.bytes().await };
            self.coming.push_back(runtime()?.spawn(get));
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let Some(coming) = self.coming.pop_front() else { return Ok(0) };
            self.piece = wait(async { coming.await? })?;
            self.ask()?;
        }
        let n = into.len().min(self.piece.len());
        into[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.coming.iter().for_each(JoinHandle::abort);
    }
}

/// An object being written: in one request if it is small, otherwise in parts.
pub struct Upload {
    object: Object,
    small: Vec<u8>,
    parts: Option<WriteMultipart>,
}

impl Upload {
    pub fn begin(path: &Path) -> io::Result<Self> {
        Ok(Self { object: Object::new(path)?, small: Vec::new(), parts: None })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let runtime = runtime()?;
        if self.parts.is_none() && self.small.len() + bytes.len() <= PART {
            self.small.extend_from_slice(bytes);
            return Ok(());
        }
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let upload = wait(self.object.store.put_multipart(&self.object.key))?;
                let parts = self.parts.insert(WriteMultipart::new_with_chunk_size(upload, PART));
                let _inside = runtime.enter();
                parts.write(&std::mem::take(&mut self.small));
                parts
            }
        };
        let _inside = runtime.enter();
        parts.write(bytes);
        runtime.block_on(parts.wait_for_capacity(UPLOADS)).map_err(failure)
    }

    pub fn finish(mut self) -> io::Result<()> {
        match self.parts.take() {
            Some(parts) => wait(parts.finish()).map(drop),
            None => wait(self.object.store.put(&self.object.key, std::mem::take(&mut self.small).into())).map(drop),
        }
    }

    /// Discards what has been sent. If the store cannot be reached, it keeps the parts, which are invisible, until its
    /// own rules remove them.
    pub fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            let _ = wait(parts.abort());
        }
    }
}
