//! Where tensors live that are not in the model's own file. A location is text from that file, so it
//! is kept inside the model's folder: no absolute path, no `..`, no symbolic link that leaves.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::bytes::Bytes;

use crate::error::{Error, Result};

/// Reads the files of external data that a model names.
pub trait ExternalData {
    /// The size of the file at `location`, in bytes.
    ///
    /// # Errors
    /// There is no such file, or it may not be read.
    fn size(&self, location: &str) -> Result<u64>;

    /// `length` bytes at `offset` of the file at `location`; the caller has checked them against the size.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&self, location: &str, offset: u64, length: u64) -> Result<Bytes>;

    /// The files that were read.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// For a model that comes without files: every location is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExternalData;

impl ExternalData for NoExternalData {
    fn size(&self, location: &str) -> Result<u64> {
        Err(Error::new(format!("the data is in the file {location:?}, which is not at hand")))
    }

    fn read(&self, location: &str, _offset: u64, _length: u64) -> Result<Bytes> {
        self.size(location).map(|_| Bytes::new())
    }
}

/// The folder that the model is in.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    files: RefCell<Vec<PathBuf>>,
}

impl Folder {
    /// The folder `dir`; empty is the current one.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Folder { dir: dir.into(), files: RefCell::default() }
    }

    /// The path of a location that is a regular file inside the folder.
    fn resolve(&self, location: &str) -> Result<PathBuf> {
        if location.contains("_ORT_MEM_ADDR_") {
            return Err(Error::new(
                "the data was in the memory of the ONNX Runtime session that wrote the file",
            )
            .help(
                "save the optimized model with its initializers, or use the model from before optimization",
            ));
        }
        let inside =
            Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !inside {
            return Err(Error::new(format!(
                "the data's location {location:?} is not inside the model's folder"
            ))
            .help("put the data file beside the model and save the model with a relative location"));
        }
        let path = self.dir.join(location);
        let here = if self.dir.as_os_str().is_empty() { Path::new(".") } else { &self.dir };
        let (real, root) = match (path.canonicalize(), here.canonicalize()) {
            (Ok(real), Ok(root)) => (real, root),
            (Err(error), _) | (_, Err(error)) => return Err(unreadable(&path, &error)),
        };
        if !real.starts_with(&root) {
            return Err(Error::new(format!(
                "the data file {} is a symbolic link that leaves the folder",
                path.display()
            ))
            .help("copy the file into the model's folder"));
        }
        if !real.is_file() {
            return Err(Error::new(format!("the data file {} is not a regular file", path.display())));
        }
        Ok(path)
    }
}

impl ExternalData for Folder {
    fn size(&self, location: &str) -> Result<u64> {
        let path = self.resolve(location)?;
        Ok(path.metadata().map_err(|error| unreadable(&path, &error))?.len())
    }

    fn read(&self, location: &str, offset: u64, length: u64) -> Result<Bytes> {
        let path = self.resolve(location)?;
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        let bytes = read().map_err(|error| unreadable(&path, &error))?;
        let mut files = self.files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
        Ok(bytes.into())
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(format!("cannot read the data file {}: {error}", path.display()))
        .help("keep the files that the exporter wrote together, under the names that it gave them")
}
