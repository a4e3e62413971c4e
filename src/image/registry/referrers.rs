//! What an image tells of itself beside it, as artifacts that refer to it (OCI image specification 1.1, "subject"):
//! the wheel index, so that a client needs no layer to resolve, and the bill of materials, for those who look for one.
//!
//! A registry without the referrers API is told by the fallback tag, an index called `sha256-<hex>`
//! (OCI distribution specification 1.1, "Referrers Tag Schema").

use std::collections::HashMap;

use bytes::Bytes;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_TITLE, Descriptor, ImageIndex, ImageIndexBuilder,
    ImageManifestBuilder, MediaType,
};

use super::error::RegistryError;
use super::repository::Repository;
use crate::http::retry::Failure;
use crate::image::blobs::Blobs;
use crate::image::manifest::{BlobRef, Document, OCI_INDEX, OCI_MANIFEST};
use crate::image::sbom::SBOM_TYPE;
use crate::store::layout::canonical_json;
use crate::vocab::digest::Digest;

/// The artifact type of a wheel index.
pub(in crate::image) const INDEX_TYPE: &str = "application/vnd.loci.index.v1+json";

/// What an artifact tells of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum ArtifactKind {
    /// Which wheel stands where.
    Index,
    /// What it consists of.
    Bill,
}

impl ArtifactKind {
    /// The artifact type, and the media type of what it is about.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Index => INDEX_TYPE,
            Self::Bill => SBOM_TYPE,
        }
    }

    /// What the file is called.
    const fn title(self) -> &'static str {
        match self {
            Self::Index => crate::image::INDEX,
            Self::Bill => crate::image::SBOM,
        }
    }
}

/// A file that refers to an image, as an artifact.
#[derive(Debug, Clone)]
pub(in crate::image) struct Artifact {
    /// Its manifest.
    pub(in crate::image) document: Document,
    /// The blobs that it names.
    pub(in crate::image) blobs: Vec<BlobRef>,
    /// Where they are.
    pub(in crate::image) places: Blobs,
    kind: ArtifactKind,
    subject: Digest,
    created: Option<String>,
}

impl Artifact {
    /// The artifact of `file` that refers to the manifest `subject`, which was `created` then.
    pub(in crate::image) fn new(
        kind: ArtifactKind,
        subject: &BlobRef,
        file: Bytes,
        created: Option<String>,
    ) -> Self {
        let mut places = Blobs::of(kind.title());
        let mut blob = |bytes: Bytes, media_type: &str| {
            let size = bytes.len() as u64;
            BlobRef { digest: places.insert_bytes(bytes), size, media_type: media_type.to_owned() }
        };
        let config = blob(Bytes::from_static(b"{}"), MediaType::EmptyJSON.as_ref());
        let file = blob(file, kind.media_type());
        let mut layer = file.descriptor();
        let title = (ANNOTATION_TITLE.to_owned(), kind.title().to_owned());
        layer.set_annotations(Some(HashMap::from([title])));
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .artifact_type(kind.media_type())
            .config(config.descriptor())
            .layers(vec![layer])
            .subject(subject.descriptor())
            .annotations(annotations(created.as_deref()))
            .build()
            .expect("every required field is set");
        let document = Document::new(canonical_json(&manifest), OCI_MANIFEST);
        let (blobs, subject) = (vec![config, file], subject.digest);
        Self { document, blobs, places, kind, subject, created }
    }

    /// What points to it among the referrers of its subject.
    fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.document.reference.descriptor();
        descriptor.set_artifact_type(Some(self.kind.media_type().into()));
        descriptor.set_annotations(Some(annotations(self.created.as_deref())));
        descriptor
    }
}

fn annotations(created: Option<&str>) -> HashMap<String, String> {
    let created = created.map(|created| (ANNOTATION_CREATED.to_owned(), created.to_owned()));
    created.into_iter().collect()
}

/// The tag that stands for the referrers of `subject` where there is no API.
fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Repository {
    /// Makes `artifact`, which is there with its blobs, known as one that refers to its subject.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(in crate::image) async fn refer(&self, artifact: &Artifact) -> Result<(), RegistryError> {
        let reference = artifact.document.reference.digest.to_string();
        self.put_manifest(&artifact.document, &reference).await?;
        let listed = self.referrers(&artifact.subject).await?;
        if listed.is_some() {
            // The registry has an API, and so found the subject by itself.
            return Ok(());
        }
        let tag = fallback_tag(&artifact.subject);
        let mut manifests = self.fallback(&tag).await?;
        let descriptor = artifact.descriptor();
        if manifests.iter().any(|known| known.digest() == descriptor.digest()) {
            return Ok(());
        }
        // An index of ours that an earlier loci wrote is out of date; what others refer with stays, and a
        // bill may be anybody's.
        manifests.retain(|known| {
            artifact.kind != ArtifactKind::Index
                || known.artifact_type().as_ref().is_none_or(|kind| kind.as_ref() != INDEX_TYPE)
        });
        manifests.push(descriptor);
        let index = ImageIndexBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageIndex)
            .manifests(manifests)
            .build()
            .expect("every required field is set");
        self.put_manifest(&Document::new(canonical_json(&index), OCI_INDEX), &tag).await
    }

    /// The wheel index that refers to the manifest `subject`, as a blob; none when there is none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub(in crate::image) async fn referring_index(
        &self,
        subject: &Digest,
    ) -> Result<Option<BlobRef>, RegistryError> {
        let found = match self.referrers(subject).await? {
            Some(found) => found,
            None => self.fallback(&fallback_tag(subject)).await?,
        };
        let is_index = |descriptor: &&Descriptor| {
            descriptor.artifact_type().as_ref().is_some_and(|kind| kind.as_ref() == INDEX_TYPE)
        };
        let Some(descriptor) = found.iter().find(is_index) else { return Ok(None) };
        let Some(document) = self.manifest(descriptor.digest().as_ref()).await? else {
            return Ok(None);
        };
        let manifest: Option<oci_spec::image::ImageManifest> =
            serde_json::from_slice(&document.bytes).ok();
        // It is others who may have written it: what makes no sense is as good as not there.
        let refers = |manifest: &oci_spec::image::ImageManifest| {
            let subject_of = manifest.subject().as_ref().map(|s| s.digest().to_string());
            subject_of.as_deref() == Some(subject.to_string().as_str())
        };
        Ok(manifest
            .filter(refers)
            .and_then(|manifest| BlobRef::of(manifest.layers().first()?, "").ok()))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let mut retries = self.client().retries();
        loop {
            match self.try_referrers(subject, INDEX_TYPE).await {
                Ok(found) => return Ok(found),
                // Who has no such API may say so in any way; some say that it is forbidden.
                Err(Failure::Final(_)) => return Ok(None),
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    async fn fallback(&self, tag: &str) -> Result<Vec<Descriptor>, RegistryError> {
        let document = self.manifest(tag).await?;
        let index = document.and_then(|d| serde_json::from_slice::<ImageIndex>(&d.bytes).ok());
        Ok(index.map_or_else(Vec::new, |index| index.manifests().clone()))
    }
}
