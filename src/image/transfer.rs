//! [`transfer`]: an image from where it is to where it is wanted, of which only that moves which is missing.
//!
//! Blobs go side by side, the largest first; then the manifests, each after all that it names; then
//! the names. Who stops in between leaves nothing but blobs that the next one finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::store::names::Tag;

use super::Progress;
use super::archive::{ArchiveNames, ArchiveSink, with_ending};
use super::blob_source::BlobSource;
use super::error::ImageError;
use super::layout::LayoutSink;
use super::manifest::BlobRef;
use super::registry::name::ImageName;
use super::registry::referrers::Artifact;
use super::registry::repository::Repository;
use super::registry::upload::Pushed;
use super::tree::ImageTree;
use crate::vocab::digest::Digest;

/// So many blobs move at once.
const SIDE_BY_SIDE: usize = 6;

/// Where an image is wanted.
#[derive(Debug, Clone)]
pub(super) enum Sink {
    /// In a layout.
    Layout(LayoutSink),
    /// In an archive.
    Archive(ArchiveSink),
    /// In a registry.
    Registry(RegistrySink),
}

/// A repository that an image is put into, and its name there.
#[derive(Debug, Clone)]
pub(super) struct RegistrySink {
    repository: Repository,
    name: ImageName,
    /// Where blobs are that were pushed before: a registry puts them here without them being sent.
    pushed: Arc<BTreeMap<Digest, Repository>>,
}

/// An image, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// What it consists of.
    pub(super) tree: ImageTree,
    /// Where that is.
    pub(super) source: BlobSource,
}

/// What a transfer came to, in bytes of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moved {
    /// They were written, or went over the network.
    pub(super) written: u64,
    /// They were there already, or in the same registry.
    pub(super) unchanged: u64,
}

impl Sink {
    /// A layout at `dir` in which the image is to be called `tag`.
    ///
    /// # Errors
    /// [`ImageError`] when it cannot be made.
    pub(super) fn layout(dir: &Path, tag: Tag) -> Result<Self, ImageError> {
        LayoutSink::create(dir, tag).map(Self::Layout)
    }

    /// An archive at `path`.
    ///
    /// # Errors
    /// [`ImageError`] when it cannot be made.
    pub(super) fn archive(
        path: &Path,
        names: ArchiveNames,
        epoch: u64,
    ) -> Result<Self, ImageError> {
        ArchiveSink::create(path, names, epoch).map(Self::Archive)
    }

    /// A repository.
    #[must_use]
    pub(super) fn registry(repository: Repository, name: ImageName) -> Self {
        Self::Registry(RegistrySink { repository, name, pushed: Arc::default() })
    }

    /// The same, where blobs are in other repositories of the same registry already.
    #[must_use]
    pub(super) fn mounting(self, pushed: &BTreeMap<Digest, Repository>) -> Self {
        let Self::Registry(sink) = self else { return self };
        let is_beside = |from: &&Repository| {
            from.is_beside(&sink.repository) && from.name() != sink.repository.name()
        };
        let pushed = pushed.iter().filter(|(_, from)| is_beside(from));
        let pushed = Arc::new(pushed.map(|(digest, from)| (*digest, from.clone())).collect());
        Self::Registry(RegistrySink { pushed, ..sink })
    }

    /// The repository that it puts blobs into, if it is one.
    #[must_use]
    pub(super) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(sink) => Some(&sink.repository),
            Self::Layout(_) | Self::Archive(_) => None,
        }
    }

    /// Puts a blob there, and says how it came.
    async fn put(
        &self,
        blob: &BlobRef,
        source: &BlobSource,
        progress: &Progress,
    ) -> Result<Pushed, ImageError> {
        match self {
            Self::Layout(sink) => sink.put(blob, source, progress).await,
            Self::Archive(sink) => {
                sink.put(blob, source, progress).await.map(|()| Pushed::Uploaded)
            }
            Self::Registry(sink) => {
                let mount_from = match source {
                    BlobSource::Registry(from)
                        if from.is_beside(&sink.repository)
                            && from.name() != sink.repository.name() =>
                    {
                        Some(from)
                    }
                    _ => sink.pushed.get(&blob.digest),
                };
                sink.repository.push_blob(blob, source, mount_from, progress).await
            }
        }
    }

    /// Whether what is to be named can be named there.
    fn check(&self, tree: &ImageTree) -> Result<(), ImageError> {
        match self {
            Self::Layout(sink) => tree.roots.iter().try_for_each(|root| sink.tag(root).map(drop)),
            Self::Archive(sink) => sink.check(tree),
            Self::Registry(sink) => sink.names(tree).map(drop),
        }
    }

    /// Puts the manifests there and names what is to be named.
    async fn finish(&self, tree: &ImageTree) -> Result<(), ImageError> {
        match self {
            Self::Layout(sink) => {
                for document in &tree.documents {
                    sink.put_document(document)?;
                }
                tree.roots.iter().try_for_each(|root| sink.name(root))
            }
            Self::Archive(sink) => sink.finish(tree).await,
            Self::Registry(sink) => sink.finish(tree).await,
        }
    }
}

impl RegistrySink {
    /// What each manifest is to be called.
    fn names(&self, tree: &ImageTree) -> Result<BTreeMap<Digest, Vec<String>>, ImageError> {
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for root in &tree.roots {
            let found = root.reference.digest;
            if self.name.digest().is_some_and(|digest| *digest != found) {
                return Err(ImageError::OtherDigest { name: self.name.to_string(), found });
            }
            let name = match (self.name.digest(), self.name.tag()) {
                (Some(digest), None) => digest.to_string(),
                _ => with_ending(&self.name, &root.ending)?.reference(),
            };
            names.entry(found).or_default().push(name);
        }
        Ok(names)
    }

    async fn finish(&self, tree: &ImageTree) -> Result<(), ImageError> {
        let names = self.names(tree)?;
        // Those that get a tag come last: before that, nobody sees anything of the image.
        let (tagged, others): (Vec<_>, Vec<_>) = tree
            .documents
            .iter()
            .partition(|document| names.contains_key(&document.reference.digest));
        for document in others {
            let reference = document.reference.digest.to_string();
            self.repository.put_manifest(document, &reference).await?;
        }
        for document in tagged {
            for name in &names[&document.reference.digest] {
                self.repository.put_manifest(document, name).await?;
            }
        }
        Ok(())
    }
}

/// Moves `images` to `sink`, where `whole` is what gets a name; where that is a registry, with the
/// artifacts that refer to it. `progress` is told bytes as they move or turn out to be there.
///
/// # Errors
/// [`ImageError`]; nothing is named then.
pub(super) async fn transfer(
    images: &[Image],
    whole: &ImageTree,
    sink: &Sink,
    artifacts: &[Artifact],
    progress: &Progress,
) -> Result<Moved, ImageError> {
    sink.check(whole)?;
    let mut moved = Moved::default();
    let mut seen = BTreeSet::new();
    for image in images {
        let blobs: Vec<BlobRef> =
            image.tree.blobs.iter().filter(|blob| seen.insert(blob.digest)).cloned().collect();
        let part = move_blobs(&blobs, &image.source, sink, progress).await?;
        moved.written += part.written;
        moved.unchanged += part.unchanged;
    }
    // What refers to an image may be there before it; once it has its name, all is there.
    if let Sink::Registry(to) = sink {
        let quiet: Progress = Arc::new(|_| {});
        for artifact in artifacts {
            let source = BlobSource::Local(Arc::new(artifact.places.clone()));
            move_blobs(&artifact.blobs, &source, sink, &quiet).await?;
            to.repository.refer(artifact).await?;
        }
    }
    sink.finish(whole).await?;
    Ok(moved)
}

async fn move_blobs(
    blobs: &[BlobRef],
    source: &BlobSource,
    sink: &Sink,
    progress: &Progress,
) -> Result<Moved, ImageError> {
    if let Sink::Archive(_) = sink {
        // One after the other, always in this order.
        for blob in blobs {
            sink.put(blob, source, progress).await?;
        }
        let written = blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        return Ok(Moved { written, unchanged: 0 });
    }
    if let (Sink::Registry(to), Some(blob)) = (sink, blobs.first()) {
        // Who we are is found out by one request, and not by all that run at once: a registry that does
        // not let us in may count how often we try.
        to.repository.has_blob(blob).await?;
    }
    let mut blobs = blobs.to_vec();
    blobs.sort_by(|a, b| b.size.cmp(&a.size).then(a.digest.cmp(&b.digest)));
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    // Tasks of their own use all processors; when this function ends early, they end with it.
    let mut running = JoinSet::new();
    for blob in blobs {
        let (source, sink, progress) = (source.clone(), sink.clone(), Arc::clone(progress));
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire().await.expect("the semaphore is never closed");
            let pushed = sink.put(&blob, &source, &progress).await?;
            Ok::<_, ImageError>((blob.size, pushed))
        });
    }
    let mut moved = Moved::default();
    while let Some(ended) = running.join_next().await {
        let (size, pushed) = match ended {
            Ok(outcome) => outcome?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => continue,
        };
        match pushed {
            Pushed::Uploaded => moved.written += size,
            Pushed::Present | Pushed::Mounted => moved.unchanged += size,
        }
    }
    Ok(moved)
}
