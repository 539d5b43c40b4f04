//! Names of files: paths, and URLs of objects in a store.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

/// True for a path that names an object in a store.
pub fn is_url(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    [&b"s3://"[..], b"gs://", b"az://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The path of a `file://` URL. Other paths are returned unchanged, except that URLs lose trailing slashes.
pub fn plain(path: &Path) -> PathBuf {
    let Some(text) = path.to_str() else { return path.to_owned() };
    match text.strip_prefix("file://") {
        Some(local) => PathBuf::from(local),
        None if is_url(path) => PathBuf::from(text.trim_end_matches('/')),
        None => path.to_owned(),
    }
}

/// Applies [`plain`] to all paths.
pub fn plain_all<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
    paths.iter().map(|path| plain(path.as_ref())).collect()
}

/// The name of a file without its folders.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// A name that is unique across machines.
pub(crate) fn unique() -> String {
    // Each RandomState has its own keys, from the system's randomness and a counter.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
