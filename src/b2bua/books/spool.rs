//! Records of calls that ended while the database was away: a bounded file, one JSON object a line, durable before the call is
//! forgotten. What is replayed twice is written once, for a call has one record.
//!
//! When not even the file can be written, as on a full disk, records wait in memory. A process that is killed then loses what
//! they say of the end of their calls; the calls themselves are settled at their last heartbeat by the next start.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BooksError, Closing};

/// Records that may wait.
const MOST: usize = 200_000;
/// Records that may wait in memory.
const MOST_IN_MEMORY: usize = 20_000;

/// The file; every clone is the same one.
#[derive(Clone)]
pub(super) struct Spool(Arc<Inner>);

struct Inner {
    path: PathBuf,
    waiting: Mutex<Option<usize>>,
    /// Those the file did not take.
    in_memory: Mutex<Vec<Closing>>,
    /// Held by the one replay that runs.
    replaying: tokio::sync::Mutex<()>,
}

impl Spool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, waiting: Mutex::new(None), in_memory: Mutex::default(), replaying: tokio::sync::Mutex::new(()) }))
    }

    /// Writes a record down; on disk when this returns, if the disk takes it.
    pub(super) async fn append(&self, closing: Closing) -> Result<Waits, BooksError> {
        let spool = self.clone();
        off_the_loop(move || match spool.append_now(&closing) {
            Ok(()) => Ok(Waits::OnDisk),
            Err(fault) => {
                let mut in_memory = spool.in_memory();
                if in_memory.len() >= MOST_IN_MEMORY {
                    return Err(fault);
                }
                tracing::error!(call.id = %closing.call, %fault, "a call record can be written nowhere; it waits in memory");
                in_memory.push(closing);
                Ok(Waits::InMemory)
            }
        })
        .await
    }

    fn in_memory(&self) -> MutexGuard<'_, Vec<Closing>> {
        self.0.in_memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, closing: &Closing) -> Result<(), BooksError> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match *waiting {
            Some(known) => known,
            None => read(&self.0.path).map_err(|source| self.fault(source))?.len(),
        };
        if before >= MOST {
            return Err(BooksError::SpoolFull);
        }
        let mut line = serde_json::to_vec(closing).map_err(|fault| self.fault(fault.into()))?;
        line.push(b'\n');
        append(&self.0.path, &line).map_err(|source| self.fault(source))?;
        *waiting = Some(before + 1);
        Ok(())
    }

    /// Hands each waiting record to `write` and keeps those it did not write. Returns how many were written.
    pub(super) async fn replay<F, W>(&self, write: F) -> Result<usize, BooksError>
    where
        F: Fn(Closing) -> W,
        W: Future<Output = Replayed>,
    {
        let _only = self.0.replaying.lock().await;
        let from_memory = self.replay_memory(&write).await;
        if *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) == Some(0) {
            return Ok(from_memory);
        }
        let spool = self.clone();
        let lines = off_the_loop(move || read(&spool.0.path).map_err(|source| spool.fault(source))).await?;
        let (seen, mut kept, mut written) = (lines.len(), Vec::new(), from_memory);
        let mut lines = lines.into_iter();
        for line in lines.by_ref() {
            match serde_json::from_slice(&line) {
                Ok(closing) => match write(closing).await {
                    Replayed::Written => written += 1,
                    Replayed::Keep => kept.push(line),
                    Replayed::Stop => {
                        kept.push(line);
                        break;
                    }
                },
                Err(fault) => {
                    tracing::error!(%fault, spool = %self.0.path.display(), "a spooled call record cannot be read; it is kept beside the spool");
                    append(&self.beside("bad"), &line).map_err(|source| self.fault(source))?;
                }
            }
        }
        kept.extend(lines);
        if kept.len() == seen {
            *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            return Ok(written);
        }
        let spool = self.clone();
        off_the_loop(move || spool.keep(seen, kept)).await?;
        Ok(written)
    }

    /// The same for what waits in memory; what is not written goes to the file, if that takes it now.
    async fn replay_memory<F, W>(&self, write: &F) -> usize
    where
        F: Fn(Closing) -> W,
        W: Future<Output = Replayed>,
    {
        let (waiting, mut written) = (std::mem::take(&mut *self.in_memory()), 0);
        let mut waiting = waiting.into_iter();
        let mut kept = Vec::new();
        for closing in waiting.by_ref() {
            match write(closing.clone()).await {
                Replayed::Written => written += 1,
                Replayed::Keep => kept.push(closing),
                Replayed::Stop => {
                    kept.push(closing);
                    break;
                }
            }
        }
        kept.extend(waiting);
        if !kept.is_empty() {
            let spool = self.clone();
            let moved = off_the_loop(move || {
                let still = kept.iter().position(|closing| spool.append_now(closing).is_err()).unwrap_or(kept.len());
                spool.in_memory().extend(kept.drain(still..));
                Ok(())
            });
            // A thread that dies here has said so.
            let _ = moved.await;
        }
        written
    }

    /// Replaces the first `seen` lines by `kept`; lines appended meanwhile stay.
    fn keep(&self, seen: usize, mut kept: Vec<Vec<u8>>) -> Result<(), BooksError> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = |source| self.fault(source);
        kept.extend(read(&self.0.path).map_err(fault)?.into_iter().skip(seen));
        let next = self.beside("next");
        let mut file = File::create(&next).map_err(fault)?;
        file.write_all(&kept.concat()).and_then(|()| file.sync_all()).map_err(fault)?;
        std::fs::rename(&next, &self.0.path).and_then(|()| sync_folder(&self.0.path)).map_err(fault)?;
        *waiting = Some(kept.len());
        Ok(())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.0.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    fn fault(&self, source: io::Error) -> BooksError {
        BooksError::Spool { path: self.0.path.clone(), source }
    }
}

/// Where a record waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// In the file: nothing can happen to it.
    OnDisk,
    /// Here, until the disk or the books take it.
    InMemory,
}

/// What became of a record that was handed over.
pub(super) enum Replayed {
    /// It is in the books.
    Written,
    /// The books do not take this one; others may fare better.
    Keep,
    /// The books are still away.
    Stop,
}

async fn off_the_loop<T: Send + 'static>(work: impl FnOnce() -> Result<T, BooksError> + Send + 'static) -> Result<T, BooksError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BooksError::SpoolFull))
}

/// All whole lines. The torn last line of a process that was killed while it wrote was never promised to anybody; it is ended
/// here by the next append, and then read as a bad line.
fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let lines = BufReader::new(file).split(b'\n').map(|line| {
        line.map(|mut line| {
            line.push(b'\n');
            line
        })
    });
    lines.filter(|line| line.as_ref().map_or(true, |line| line.len() > 1)).collect()
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let fresh = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if !fresh && torn(path)? {
        file.write_all(b"\n")?;
    }
    let length = file.metadata()?.len();
    if let Err(fault) = file.write_all(line).and_then(|()| file.sync_data()) {
        // Half a line is none.
        file.set_len(length)?;
        return Err(fault);
    }
    if fresh { sync_folder(path) } else { Ok(()) }
}

fn torn(path: &Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
