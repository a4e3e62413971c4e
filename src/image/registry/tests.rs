//! A repository against a registry in code: uploads in chunks of 1000 bytes, mounts, manifests, tags and
//! referrers, with faults on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::referrers::{Artifact, ArtifactKind};
use super::repository::Repository;
use super::upload::Pushed;
use crate::image::Progress;
use crate::image::blob_source::BlobSource;
use crate::image::blobs::Blobs;
use crate::image::manifest::{BlobRef, Document, OCI_MANIFEST};
use crate::image::testing::access;
use crate::store::Store;
use crate::support::registry::{Fault, Registry};
use crate::vocab::digest::Digest;

/// A repository of `registry`.
fn repository(registry: &Registry, name: &str, store: &Store) -> Repository {
    let name = format!("{}/{name}", registry.host()).parse().unwrap();
    access(store).registries.repository(&name).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

/// A blob of `size` bytes, and where it is.
fn blob(size: usize) -> (BlobRef, BlobSource, Vec<u8>) {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let mut blobs = Blobs::of("a test");
    let digest = blobs.insert_bytes(bytes.clone());
    let media_type = "application/octet-stream".to_owned();
    let reference = BlobRef { digest, size: size as u64, media_type };
    (reference, BlobSource::Local(Arc::new(blobs)), bytes)
}

async fn push(to: &Repository, size: usize, mount_from: Option<&Repository>) -> (Pushed, Vec<u8>) {
    let (blob, source, bytes) = blob(size);
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let progress: Progress = Arc::new(move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    });
    let pushed = to.push_blob(&blob, &source, mount_from, &progress).await.unwrap();
    // However often it began anew, each byte is told once.
    assert_eq!(told.load(Ordering::Relaxed), size as u64);
    (pushed, bytes)
}

#[tokio::test]
async fn a_blob_comes_whole_whatever_happens_on_the_way() {
    for size in [0, 1, 999, 1000, 1001, 3500] {
        for (pattern, fault) in [
            ("", None),
            ("PATCH ", Some(Fault::Cut { after: 300 })),
            ("PATCH ", Some(Fault::Mute)),
            ("PATCH ", Some(Fault::Drop)),
            ("PUT ", Some(Fault::Cut { after: 300 })),
            ("PUT ", Some(Fault::Mute)),
            ("PUT ", Some(Fault::Drop)),
            ("PUT ", Some(Fault::Status { status: 503, retry_after: None })),
            ("POST ", Some(Fault::Status { status: 429, retry_after: Some("0".into()) })),
            ("HEAD ", Some(Fault::Drop)),
        ] {
            let registry = Registry::new();
            if let Some(fault) = &fault {
                registry.fault(pattern, 2, fault.clone());
            }
            let (_dir, store) = store();
            let to = repository(&registry, "a/b", &store);
            let (pushed, bytes) = push(&to, size, None).await;
            assert!(pushed != Pushed::Mounted, "{size} {pattern}");
            let digest = Digest::of(&bytes).to_string();
            assert!(registry.blob("a/b", &digest).unwrap() == bytes, "{size} {pattern}");
            assert_eq!(push(&to, size, None).await.0, Pushed::Present);
        }
    }
}

#[tokio::test]
async fn what_a_registry_has_elsewhere_is_mounted_or_sent() {
    for (refuses, pushed) in [(false, Pushed::Mounted), (true, Pushed::Uploaded)] {
        let registry = Registry::new();
        let registry = if refuses { registry.refuse_mounts() } else { registry };
        let (_dir, store) = store();
        let access = access(&store);
        let of = |name: &str| {
            let name = format!("{}/{name}", registry.host()).parse().unwrap();
            access.registries.repository(&name).unwrap()
        };
        let (from, to) = (of("a/from"), of("a/to"));
        assert!(from.is_beside(&to));
        let (_, bytes) = push(&from, 500, None).await;
        assert_eq!(push(&to, 500, Some(&from)).await.0, pushed);
        let digest = Digest::of(&bytes).to_string();
        assert!(registry.blob("a/to", &digest).unwrap() == bytes);
        // The upload that a refused mount opens is the one that is used.
        assert_eq!(registry.hits("POST /v2/a/to/blobs/uploads/"), 1);
    }
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let registry = Registry::new().tags_a_page(2);
    for tag in ["a", "b", "c", "d", "e"] {
        registry.put_image("x/y", tag, &[b"layer"]);
    }
    let (_dir, store) = store();
    let tags = repository(&registry, "x/y", &store).tags().await.unwrap();
    assert_eq!(tags, ["a", "b", "c", "d", "e"]);
    assert!(repository(&registry, "x/none", &store).tags().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_index_refers_to_its_image_with_and_without_an_api() {
    for without in [false, true] {
        let registry = Registry::new();
        let registry = if without { registry.without_referrers() } else { registry };
        let (_dir, store) = store();
        let to = repository(&registry, "x/y", &store);
        registry.put_image("x/y", "tag", &[b"layer"]);
        let image = to.manifest("tag").await.unwrap().unwrap();
        let subject = &image.reference;
        assert_eq!(to.referring_index(&subject.digest).await.unwrap(), None);
        for text in ["{}", r#"{"version":1}"#] {
            let index = Bytes::from_static(text.as_bytes());
            let artifact = Artifact::new(ArtifactKind::Index, subject, index.clone(), None);
            let source = BlobSource::Local(Arc::new(artifact.places.clone()));
            for blob in &artifact.blobs {
                let quiet: Progress = Arc::new(|_| {});
                to.push_blob(blob, &source, None, &quiet).await.unwrap();
            }
            to.refer(&artifact).await.unwrap();
            to.refer(&artifact).await.unwrap();
            // Another kind is beside it, and takes nothing away.
            let bill = Bytes::from_static(b"{}");
            let bill = Artifact::new(ArtifactKind::Bill, subject, bill, None);
            let source = BlobSource::Local(Arc::new(bill.places.clone()));
            for blob in &bill.blobs {
                let quiet: Progress = Arc::new(|_| {});
                to.push_blob(blob, &source, None, &quiet).await.unwrap();
            }
            to.refer(&bill).await.unwrap();
            let found = to.referring_index(&subject.digest).await.unwrap().unwrap();
            // With an API there may be several; each is one of ours.
            assert!(without || found.size > 0);
            if without {
                assert_eq!(found.digest, Digest::of(&index));
            }
        }
        let fallback = format!("sha256-{}", subject.digest.hex());
        assert_eq!(to.manifest(&fallback).await.unwrap().is_some(), without);
    }
}

#[tokio::test]
async fn a_manifest_is_the_one_of_its_digest() {
    let registry = Registry::new();
    let (_dir, store) = store();
    let to = repository(&registry, "x/y", &store);
    registry.put_image("x/y", "tag", &[b"layer"]);
    registry.fault("GET /v2/x/y/manifests/tag", 1, Fault::Flip { at: 3 });
    let there = to.manifest("tag").await.unwrap().unwrap();
    assert_eq!(there.reference.media_type, OCI_MANIFEST);
    let by_digest = to.manifest(&there.reference.digest.to_string()).await.unwrap().unwrap();
    assert_eq!(by_digest.bytes, there.bytes);
    assert!(to.manifest("none").await.unwrap().is_none());
    let lacking = br#"{"schemaVersion":2,"config":{"mediaType":"x","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8b"},"layers":[]}"#;
    let document = Document::new(&lacking[..], OCI_MANIFEST);
    let error = to.put_manifest(&document, "new").await.unwrap_err().to_string();
    assert!(error.contains("refuses the manifest `new`: 404"), "{error}");
}
