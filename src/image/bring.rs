//! [`bring`]: the wheels that are wanted, from wherever they are, into the store.
//!
//! What the store has is not asked for. Of plain layers and tars only the wheels come, neighbours in one
//! request; where a server gives the whole instead, they are cut out of that as it passes. Out of a
//! compressed layer all wheels come, for they cannot be told apart on the way. No wheel is kept
//! but one that has its digest.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::store::Store;
use crate::store::blob::BlobWriter;
use crate::store::error::StoreError;
use crate::vocab::digest::{Digest, Hasher};
use crate::vocab::wheel_filename::WheelFilename;
use crate::wheel::file::WheelFile;

use super::blob_source::{TRIES, blocking};
use super::download::{Answer, Download};
use super::error::{ImageError, io_error};
use super::offered::{LocatedWheel, OfferedWheel, WheelPlace};
use super::remote_file::RemoteFile;
use super::tar_contents::{Contents, read_stream};
use super::{Access, Progress};

/// Wheels with no more bytes between them come in one request: a request costs more than they do.
const GAP: u64 = 16 * 1024;
/// So many requests run at once.
const SIDE_BY_SIDE: usize = 8;

/// Brings `wheels`, in their order. `progress` is told bytes as they come.
///
/// # Errors
/// [`ImageError`] when one is not to be had, or is never what its source says.
pub async fn bring(
    wheels: &[&OfferedWheel],
    access: &Access,
    progress: &Progress,
) -> Result<Vec<LocatedWheel>, ImageError> {
    let missing: Vec<&OfferedWheel> =
        wheels.iter().copied().filter(|w| is_missing(w, access)).collect();
    // By where the value is that says which file: equal wheels of one source share it.
    let mut spans: BTreeMap<usize, Needs> = BTreeMap::new();
    let mut layers: BTreeMap<usize, Arc<RemoteFile>> = BTreeMap::new();
    for wheel in missing {
        match &wheel.place {
            WheelPlace::Here(_) => {}
            WheelPlace::Span(file, offset) => spans
                .entry(Arc::as_ptr(file).addr())
                .or_insert_with(|| Needs { file: Arc::clone(file), wheels: Vec::new() })
                .wheels
                .push(Need::of(wheel, *offset)),
            WheelPlace::Layer(file) => {
                layers.insert(Arc::as_ptr(file).addr(), Arc::clone(file));
            }
        }
    }
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut running = JoinSet::new();
    for needs in spans.into_values() {
        let (access, progress, places) =
            (access.clone(), Arc::clone(progress), Arc::clone(&places));
        running.spawn(async move { needs.bring(&access, &progress, &places).await });
    }
    for file in layers.into_values() {
        let (access, progress, places) =
            (access.clone(), Arc::clone(progress), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            import_layer(&file, &access, &progress).await.map(drop)
        });
    }
    all_of(&mut running).await?;
    wheels.iter().map(|wheel| located(wheel, &access.store)).collect()
}

/// Waits for all tasks; the first that fails ends the others.
async fn all_of(running: &mut JoinSet<Result<(), ImageError>>) -> Result<(), ImageError> {
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(outcome) => outcome?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Only at the end of the run.
            Err(_) => {}
        }
    }
    Ok(())
}

fn is_missing(wheel: &OfferedWheel, access: &Access) -> bool {
    let there = wheel.sha256.and_then(|digest| access.store.size(&digest));
    wheel.file().is_none() && there != Some(wheel.size)
}

fn located(wheel: &OfferedWheel, store: &Store) -> Result<LocatedWheel, ImageError> {
    let file = match (wheel.file(), wheel.sha256) {
        (Some(file), _) => file.clone(),
        (None, Some(digest)) => {
            let path = store.path(&digest);
            WheelFile::open(&path).map_err(|_| store.layout().no_such_blob(&digest))?
        }
        (None, None) => unreachable!("what is elsewhere has a digest in its index"),
    };
    Ok(LocatedWheel { filename: wheel.filename.clone(), file, sha256: wheel.sha256 })
}

/// A wheel that is wanted out of a file.
#[derive(Debug, Clone)]
struct Need {
    filename: WheelFilename,
    offset: u64,
    size: u64,
    sha256: Digest,
}

impl Need {
    fn of(wheel: &OfferedWheel, offset: u64) -> Self {
        Self {
            filename: wheel.filename.clone(),
            offset,
            size: wheel.size,
            sha256: wheel.sha256.expect("what is elsewhere has a digest in its index"),
        }
    }

    const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// All that is wanted out of one file.
struct Needs {
    file: Arc<RemoteFile>,
    wheels: Vec<Need>,
}

impl Needs {
    async fn bring(
        mut self,
        access: &Access,
        progress: &Progress,
        places: &Arc<Semaphore>,
    ) -> Result<(), ImageError> {
        self.wheels.sort_by_key(|need| need.offset);
        if let Some(pair) = self.wheels.windows(2).find(|pair| pair[1].offset < pair[0].end()) {
            return Err(ImageError::Entry {
                origin: self.file.name(),
                entry: pair[1].filename.to_string(),
                fault: format!("overlaps `{}`, as the index says", pair[0].filename),
            });
        }
        let mut runs = runs(self.wheels);
        let first = runs.remove(0);
        let rest: Vec<Need> = runs.iter().flatten().cloned().collect();
        // The first request tells whether the server gives parts at all.
        let mut damaged = Vec::new();
        let answer = {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            let mut download = Download::new(&self.file, span(&first));
            let answer = download.answer().await?;
            let mut wanted = first;
            if answer == Answer::Whole {
                wanted.extend(rest);
                download.extend(span(&wanted).end);
            }
            damaged.extend(cut(&mut download, wanted, access, progress).await?);
            answer
        };
        if answer != Answer::Whole {
            let mut running = JoinSet::new();
            for run in runs {
                let (file, access) = (Arc::clone(&self.file), access.clone());
                let (progress, places) = (Arc::clone(progress), Arc::clone(places));
                running.spawn(async move {
                    let _place = places.acquire().await.expect("the semaphore is never closed");
                    let mut download = Download::new(&file, span(&run));
                    let damaged = cut(&mut download, run, &access, &progress).await?;
                    again(&file, damaged, &access).await
                });
            }
            all_of(&mut running).await?;
        }
        again(&self.file, damaged, access).await
    }
}

/// From the first byte of these wheels, which are sorted, to their last.
fn span(run: &[Need]) -> std::ops::Range<u64> {
    let start = run.first().map_or(0, |need| need.offset);
    start..run.iter().map(Need::end).max().unwrap_or(start)
}

/// Groups neighbours; `wheels` are sorted by their offsets.
fn runs(wheels: Vec<Need>) -> Vec<Vec<Need>> {
    let mut runs: Vec<Vec<Need>> = Vec::new();
    for need in wheels {
        match runs.last_mut() {
            Some(run) if need.offset <= span(run).end.saturating_add(GAP) => run.push(need),
            _ => runs.push(vec![need]),
        }
    }
    runs
}

/// Asks for each of these once more, by itself: it may have been damaged on the way.
async fn again(
    file: &RemoteFile,
    damaged: Vec<(Need, Digest)>,
    access: &Access,
) -> Result<(), ImageError> {
    let quiet: Progress = Arc::new(|_| {});
    for (need, mut found) in damaged {
        let mut tries = TRIES;
        loop {
            if tries == 0 {
                return Err(ImageError::Damaged {
                    origin: file.name(),
                    wheel: need.filename.to_string(),
                    expected: need.sha256,
                    found,
                });
            }
            tries -= 1;
            let mut download = Download::new(file, need.offset..need.end());
            match cut(&mut download, vec![need.clone()], access, &quiet).await?.pop() {
                None => break,
                Some((_, other)) => found = other,
            }
        }
    }
    Ok(())
}

/// Cuts `wanted`, which are sorted by offset and do not overlap, out of what `download` brings, into the
/// store; gives back those whose bytes are not what they should be, with the digests they have.
async fn cut(
    download: &mut Download<'_>,
    wanted: Vec<Need>,
    access: &Access,
    progress: &Progress,
) -> Result<Vec<(Need, Digest)>, ImageError> {
    let mut damaged = Vec::new();
    let mut position = span(&wanted).start;
    let mut wanted = wanted.into_iter();
    let mut current: Option<(Need, BlobWriter)> = None;
    loop {
        let (need, writer) = match &mut current {
            Some((need, writer)) => (need, writer),
            None => match wanted.next() {
                None => return Ok(damaged),
                Some(need) => {
                    let (need, writer) = current.insert((need, access.store.writer()?));
                    (need, writer)
                }
            },
        };
        if writer.written() == need.size {
            let (need, writer) = current.take().expect("it is the one just looked at");
            let expected = need.sha256;
            match blocking(move || Ok(writer.commit_as(&expected))).await? {
                Ok(_) => {}
                Err(StoreError::Mismatch { found, .. }) => damaged.push((need, found)),
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        let pieces = PieceOf { download, position: &mut position };
        pieces.write(need, writer, access, progress).await?;
    }
}

/// The next piece of a download, as far as it belongs to one wheel.
struct PieceOf<'a, 'b> {
    download: &'a mut Download<'b>,
    position: &'a mut u64,
}

impl PieceOf<'_, '_> {
    /// Writes the next bytes of `need` to `writer`, and passes over what comes before it.
    async fn write(
        self,
        need: &Need,
        writer: &mut BlobWriter,
        access: &Access,
        progress: &Progress,
    ) -> Result<(), ImageError> {
        let next = need.offset + writer.written();
        let most = if *self.position < next { next } else { need.end() };
        let piece = self.download.next_until(most).await?;
        let Some(piece) = piece else {
            return Err(self.download.ended());
        };
        if *self.position >= next {
            let refused = |error| io_error("write to", access.store.root())(error);
            writer.write_all(&piece).map_err(refused)?;
            progress(piece.len() as u64);
        }
        *self.position += piece.len() as u64;
        Ok(())
    }
}

/// A whole layer, its wheels imported into the store; what came of it is remembered, so that it comes once.
///
/// # Errors
/// [`ImageError`] when it is not to be had, damaged, or no tar.
pub(super) async fn import_layer(
    file: &RemoteFile,
    access: &Access,
    progress: &Progress,
) -> Result<Contents, ImageError> {
    let RemoteFile::Blob { blob, .. } = file else {
        unreachable!("only a layer is imported as one")
    };
    let memo = access.store.memo("contents");
    let known = memo.get(&blob.digest);
    if let Some(contents) = known.and_then(|known| Contents::recall(known, &access.store)) {
        return Ok(contents);
    }
    let mut tries = TRIES;
    loop {
        let download = Download::new(file, 0..blob.size);
        let imported = import_stream(download, &[], &file.name(), access, progress).await;
        tries -= 1;
        let error = match imported {
            Ok((contents, found)) if found == blob.digest => {
                if let Some(remembered) = contents.remembered() {
                    memo.put(&blob.digest, &remembered)?;
                }
                return Ok(contents);
            }
            Ok((_, found)) => {
                ImageError::Blob { origin: file.name(), expected: blob.digest, found }
            }
            // What was damaged on the way may be no tar either.
            Err(error @ (ImageError::Tar { .. } | ImageError::Entry { .. })) => error,
            Err(error) => return Err(error),
        };
        if tries == 0 {
            return Err(error);
        }
    }
}

/// The tar that begins with `before` and goes on with what `download` brings, its wheels imported into
/// the store as they pass; and the digest of all of it.
///
/// # Errors
/// [`ImageError`] when it does not come, or is no tar.
pub(super) async fn import_stream(
    mut download: Download<'_>,
    before: &[u8],
    origin: &str,
    access: &Access,
    progress: &Progress,
) -> Result<(Contents, Digest), ImageError> {
    let (sender, receiver) = mpsc::channel(8);
    let (store, name) = (access.store.clone(), origin.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { receiver, piece: Bytes::new(), hasher: Hasher::new() };
        let contents = read_stream(&mut pieces, &name, &store)?;
        let (digest, _) = pieces.hasher.finish();
        Ok::<_, ImageError>((contents, digest))
    });
    let feed = async {
        if !before.is_empty() && sender.send(Ok(Bytes::copy_from_slice(before))).await.is_err() {
            return Ok(());
        }
        loop {
            match download.next().await {
                Ok(Some(piece)) => {
                    progress(piece.len() as u64);
                    // Who reads has found a fault, and says so himself.
                    if sender.send(Ok(piece)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
                    return Err(error);
                }
            }
        }
    };
    let fed: Result<(), ImageError> = feed.await;
    drop(sender);
    let read = match reading.await {
        Ok(read) => read,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => {
            let source = io::Error::other(error.to_string());
            return Err(ImageError::Read { what: origin.to_owned(), source });
        }
    };
    // The error of the network goes before what the reader made of it.
    fed?;
    read
}

/// Reads pieces as they come, and hashes them.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    hasher: Hasher,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        self.hasher.update(&taken);
        buffer[..count].copy_from_slice(&taken);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::{access, blocked, quiet};
    use crate::support::index::IndexServer;

    /// Wheels that an index says are in the file `abcdefghij`: at these places, of these bytes.
    fn brought(wheels: &[(u64, &str)]) -> Result<Vec<String>, ImageError> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let server = IndexServer::new();
        server.put("/x.tar", "application/x-tar", "abcdefghij");
        let access = access(&store);
        let file = Arc::new(RemoteFile::Url {
            client: access.client.clone(),
            url: server.at("/x.tar").parse().unwrap(),
            size: Some(10),
            etag: None,
        });
        let offered: Vec<OfferedWheel> = wheels
            .iter()
            .enumerate()
            .map(|(at, (offset, bytes))| OfferedWheel {
                filename: format!("a{at}-1-py3-none-any.whl").parse().unwrap(),
                size: bytes.len() as u64,
                sha256: Some(Digest::of(bytes.as_bytes())),
                metadata: None,
                origin: None,
                place: WheelPlace::Span(Arc::clone(&file), *offset),
            })
            .collect();
        let wanted: Vec<&OfferedWheel> = offered.iter().collect();
        let located = blocked(bring(&wanted, &access, &quiet()))?;
        Ok(located.iter().map(|wheel| fs_err::read_to_string(wheel.file.path()).unwrap()).collect())
    }

    #[test]
    fn wheels_come_from_where_they_stand_or_not_at_all() {
        assert_eq!(brought(&[(0, "abc"), (4, "ef"), (9, "j")]).unwrap(), ["abc", "ef", "j"]);
        assert_eq!(brought(&[(4, "ef"), (0, "abcd")]).unwrap(), ["ef", "abcd"]);
        for wheels in [&[(0, "abc"), (0, "abc"), (4, "ef")][..], &[(1, "bcd"), (3, "d")]] {
            let error = brought(wheels).unwrap_err();
            assert!(matches!(error, ImageError::Entry { .. }), "{error}");
        }
        let error = brought(&[(0, "x"), (9, "j")]).unwrap_err();
        assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
        let error = brought(&[(8, "ijk")]).unwrap_err();
        assert!(matches!(error, ImageError::Cut { .. } | ImageError::Http(_)), "{error}");
    }

    #[test]
    fn neighbours_come_in_one_request() {
        let need = |offset: u64, size: u64| Need {
            filename: format!("a{offset}-1-py3-none-any.whl").parse().unwrap(),
            offset,
            size,
            sha256: Digest::of(b""),
        };
        let wheels =
            vec![need(0, 10), need(10 + GAP, 5), need(20 + 2 * GAP, 7), need(90 + 3 * GAP, 1)];
        let spans: Vec<_> = runs(wheels).iter().map(|run| span(run)).collect();
        assert_eq!(spans, [0..15 + GAP, 20 + 2 * GAP..27 + 2 * GAP, 90 + 3 * GAP..91 + 3 * GAP]);
    }
}
