//! [`ImageTree`]: all that an image consists of, by name: what must be somewhere for the image to be there.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::image::{Arch, ImageConfiguration, ImageManifest, Os};

use crate::vocab::digest::Digest;

use super::blob_source::BlobSource;
use super::error::ImageError;
use super::manifest::{BlobRef, Choose, Document, MOST_MANIFEST, Manifest, choose, choose_or_only};

/// Indexes within indexes go no deeper than this.
const MOST_NESTED: usize = 4;
/// No image consists of more manifests.
const MOST_MANIFESTS: usize = 1000;
/// Nor do they have more bytes than this and those of one more.
const MOST_BYTES: usize = 64 << 20;

/// An image, or several of one name and different endings.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageTree {
    /// Manifests and indexes, each after all that it names.
    pub(super) documents: Vec<Document>,
    /// Configurations and layers, each once.
    pub(super) blobs: Vec<BlobRef>,
    /// What gets a name.
    pub(super) roots: Vec<Root>,
}

/// A manifest that gets a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// What is added to the name people gave: nothing, or `-keystone`.
    pub(super) ending: String,
    /// The manifest.
    pub(super) reference: BlobRef,
}

/// Which images of an index are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// All of them, with the index.
    All,
    /// The one for Linux on this architecture, without the index.
    One(Arch),
    /// That one too, but where there is only one, whatever it is for.
    Best(Arch),
}

impl ImageTree {
    /// The tree of the image `root` in `source`, called `origin` in errors.
    ///
    /// # Errors
    /// [`ImageError`] when a manifest cannot be had or makes no sense, or has no image for the platform.
    pub(super) async fn read(
        mut root: BlobRef,
        source: &BlobSource,
        platforms: &Platforms,
        origin: &str,
    ) -> Result<Self, ImageError> {
        match platforms {
            Platforms::All => {}
            Platforms::One(architecture) => {
                let (document, manifest) =
                    resolve(root, source, architecture, origin, choose).await?;
                check_platform(&manifest, source, architecture, origin).await?;
                root = document.reference;
            }
            Platforms::Best(architecture) => {
                root =
                    resolve(root, source, architecture, origin, choose_or_only).await?.0.reference;
            }
        }
        let mut reading = Reading { source, origin, tree: Self::default(), seen: BTreeSet::new() };
        let root = reading.visit(root, 0).await?;
        let mut tree = reading.tree;
        tree.roots.push(Root { ending: String::new(), reference: root });
        Ok(tree)
    }

    /// Joins trees that have one thing or more in common.
    pub(super) fn join(trees: impl IntoIterator<Item = Self>) -> Self {
        let (mut joined, mut seen) = (Self::default(), BTreeSet::new());
        for tree in trees {
            joined.documents.extend(
                tree.documents
                    .into_iter()
                    .filter(|document| seen.insert(document.reference.digest)),
            );
            joined.blobs.extend(tree.blobs.into_iter().filter(|blob| seen.insert(blob.digest)));
            joined.roots.extend(tree.roots);
        }
        joined
    }

    /// The digests of what gets a name, by what is added to it.
    pub(super) fn named(&self) -> BTreeMap<String, Digest> {
        let roots = self.roots.iter();
        roots.map(|root| (root.ending.clone(), root.reference.digest)).collect()
    }

    /// The document of this digest.
    #[must_use]
    pub(super) fn document(&self, digest: &Digest) -> Option<&Document> {
        self.documents.iter().find(|document| document.reference.digest == *digest)
    }
}

/// Follows `root` through indexes to the manifest of one image, for Linux on `architecture`, as `choose`
/// finds it in each.
///
/// # Errors
/// As for [`ImageTree::read`].
pub(super) async fn resolve(
    root: BlobRef,
    source: &BlobSource,
    architecture: &Arch,
    origin: &str,
    choose: Choose,
) -> Result<(Document, Box<ImageManifest>), ImageError> {
    let mut reference = root;
    for _ in 0..=MOST_NESTED {
        let document = source.document(&reference, origin).await?;
        match Manifest::parse(&document.bytes, &document.reference, origin)? {
            Manifest::Image(manifest) => return Ok((document, manifest)),
            Manifest::Index(index) => {
                reference = BlobRef::of(choose(&index, architecture, origin)?, origin)?;
            }
        }
    }
    Err(ImageError::Image { origin: origin.into(), fault: "has indexes within indexes".into() })
}

/// Whether an image is for Linux on `architecture`, as its configuration says: not every image stands in
/// an index, and then only that says it.
pub(super) async fn check_platform(
    manifest: &ImageManifest,
    source: &BlobSource,
    architecture: &Arch,
    origin: &str,
) -> Result<(), ImageError> {
    let blob = BlobRef::of(manifest.config(), origin)?;
    let bytes = source.small(&blob, origin, MOST_MANIFEST).await?;
    let config: ImageConfiguration = serde_json::from_slice(&bytes).map_err(|source| {
        ImageError::Manifest { origin: origin.into(), digest: blob.digest, source }
    })?;
    if *config.os() == Os::Linux && config.architecture() == architecture {
        return Ok(());
    }
    let fault = format!(
        "is an image for {}/{}, and not for linux/{architecture}",
        config.os(),
        config.architecture()
    );
    Err(ImageError::Image { origin: origin.into(), fault })
}

/// The platform that an image's configuration says, as `linux/arm64`.
pub(super) fn platform_of(config: &ImageConfiguration) -> String {
    let variant = config.variant().as_ref().map(|variant| format!("/{variant}"));
    format!("{}/{}{}", config.os(), config.architecture(), variant.unwrap_or_default())
}

struct Reading<'a> {
    source: &'a BlobSource,
    origin: &'a str,
    tree: ImageTree,
    seen: BTreeSet<Digest>,
}

impl Reading<'_> {
    /// Adds what `reference` leads to, and says its media type for sure.
    async fn visit(&mut self, reference: BlobRef, depth: usize) -> Result<BlobRef, ImageError> {
        let refuse =
            |fault: &str| ImageError::Image { origin: self.origin.into(), fault: fault.into() };
        if depth > MOST_NESTED {
            return Err(refuse("has indexes within indexes"));
        }
        let bytes: usize = self.tree.documents.iter().map(|d| d.bytes.len()).sum();
        if self.tree.documents.len() >= MOST_MANIFESTS || bytes > MOST_BYTES {
            return Err(refuse("has more manifests than any image should have"));
        }
        let mut document = self.source.document(&reference, self.origin).await?;
        let manifest = Manifest::parse(&document.bytes, &document.reference, self.origin)?;
        document.reference.media_type = manifest.media_type();
        match &manifest {
            Manifest::Image(manifest) => {
                for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
                    let blob = BlobRef::of(blob, self.origin)?;
                    if self.seen.insert(blob.digest) {
                        self.tree.blobs.push(blob);
                    }
                }
            }
            Manifest::Index(index) => {
                for child in index.manifests() {
                    let child = BlobRef::of(child, self.origin)?;
                    if self.seen.insert(child.digest) {
                        Box::pin(self.visit(child, depth + 1)).await?;
                    }
                }
            }
        }
        let reference = document.reference.clone();
        self.tree.documents.push(document);
        Ok(reference)
    }
}
