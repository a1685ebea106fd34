//! The paths of what was removed, on their way to the program that is to know of them.
//!
//! They are written into a file without a name, so that ten million of them need no memory and nothing is left behind
//! by a process that is killed. The program reads that file as its standard input.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Paths, each followed by NUL.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<BufWriter<File>>,
    paths: u64,
    failure: Option<io::Error>,
}

/// What was gathered.
#[derive(Debug)]
pub struct Spooled {
    /// The paths, from the beginning.
    pub file: File,
    /// How many there are.
    pub paths: u64,
    /// Why some are missing, if they are.
    pub failure: Option<io::Error>,
}

impl Spool {
    /// Gathers in a file in this folder, once there is anything to gather; where the folder is not to be had, where
    /// temporary files are.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), inner: Mutex::default() }
    }

    /// Adds the path that these parts make. Called from the threads of a run.
    pub fn add(&self, parts: &[&[u8]]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.add(&self.folder, parts) {
            inner.failure = Some(error);
        }
    }

    /// Whether anything was gathered since it was last taken.
    pub fn has_any(&self) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.paths > 0 || inner.failure.is_some()
    }

    /// Takes what was gathered; what comes later goes into another file.
    pub fn take(&self) -> Option<Result<Spooled, io::Error>> {
        let inner = std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner));
        let Inner { file, paths, failure } = inner;
        match (file, failure) {
            (None, None) => None,
            (None, Some(error)) => Some(Err(error)),
            (Some(writer), failure) => Some(finish(writer).map(|file| Spooled { file, paths, failure })),
        }
    }
}

fn finish(writer: BufWriter<File>) -> io::Result<File> {
    let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

impl Inner {
    fn add(&mut self, folder: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let out = match &mut self.file {
            Some(file) => file,
            none => {
                let file = tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile())?;
                none.insert(BufWriter::with_capacity(64 * 1024, file))
            }
        };
        for part in parts {
            out.write_all(part)?;
        }
        out.write_all(b"\0")?;
        self.paths += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn paths_come_out_as_they_went_in_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path());
        assert!(!spool.has_any() && spool.take().is_none());
        spool.add(&[b"/a", b"/", b"b\nc"]);
        spool.add(&[b"/\xff"]);
        assert!(spool.has_any());
        let mut spooled = spool.take().unwrap().unwrap();
        let mut bytes = Vec::new();
        spooled.file.read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes.as_slice(), spooled.paths), (b"/a/b\nc\0/\xff\0".as_slice(), 2));
        assert!(spool.take().is_none());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "no name is left behind");
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_reason_to_lose_a_path() {
        let spool = Spool::new(Path::new("/nowhere/at/all"));
        spool.add(&[b"/a"]);
        assert_eq!(spool.take().unwrap().unwrap().paths, 1);
    }
}
