//! [`Tag`] and [`Named`]: what a layout calls the manifests in it (`index.json`).
//!
//! A name is the annotation `org.opencontainers.image.ref.name` on a descriptor, as the image layout
//! specification has it. Descriptors of others, named or not, are kept as they are. A store also notes
//! when a name was written, for `gc` to go by.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor};
use serde_json::{Value, json};

use crate::vocab::digest::Digest;

use super::error::{StoreError, io_error};
use super::file::keep;
use super::layout::{Layout, canonical_json};
use super::reach::Reach;

/// The annotation of a descriptor in a store's `index.json` that says when it was named, in nanoseconds
/// since 1970. What it points to does not know of it.
const WRITTEN: &str = "org.openstack.loci.named";

/// A name for a manifest in a layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `latest`, the name people get who give none.
impl Default for Tag {
    fn default() -> Self {
        Self("latest".into())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    /// Takes what the image layout specification allows as `ref.name`: letters, digits and
    /// `-._:@/+`, beginning and ending with a letter or digit, at most 255 of them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = [text.chars().next(), text.chars().next_back()];
        let fine = ends.iter().flatten().all(char::is_ascii_alphanumeric)
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:@/+".contains(c))
            && (1..=255).contains(&text.len());
        if fine { Ok(Self(text.into())) } else { Err(TagError { text: text.into() }) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot name a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a tag: letters, digits and `-._:@/+` are allowed", text.escape_default())]
pub struct TagError {
    text: String,
}

/// A manifest a layout names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name; none for one that only stands there.
    pub tag: Option<String>,
    /// What it points to.
    pub descriptor: Descriptor,
    /// When it was written, as a store notes it; not in the descriptor, which may be copied elsewhere.
    stamp: Option<String>,
}

impl Named {
    /// The manifest's digest; none when it is not SHA-256.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.descriptor.digest().to_string().parse().ok()
    }

    /// When the name was written, where that is noted.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        let nanoseconds = self.stamp.as_ref()?.parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))
    }
}

impl Layout {
    /// What the layout names, sorted by name.
    ///
    /// # Errors
    /// [`StoreError::Json`] when `index.json` is not an image index, [`StoreError::Io`].
    pub fn names(&self) -> Result<Vec<Named>, StoreError> {
        let mut names: Vec<Named> = manifests(&self.index()?)
            .iter()
            .map(|value| {
                let mut descriptor: Descriptor = serde_json::from_value(value.clone())
                    .map_err(|source| self.json_error(source))?;
                let mut annotations = descriptor.annotations().clone();
                let stamp =
                    annotations.as_mut().and_then(|annotations| annotations.remove(WRITTEN));
                descriptor.set_annotations(annotations);
                Ok(Named { tag: ref_name(value).map(str::to_owned), descriptor, stamp })
            })
            .collect::<Result<_, StoreError>>()?;
        names.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(names)
    }

    /// The manifest called `tag`. In a store, it and all that it leads to is held from then on.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTag`], and those of [`Layout::names`]; in a store also those of reading the
    /// manifest.
    pub fn named(&self, tag: &Tag) -> Result<Named, StoreError> {
        let mut named = self.look_up(tag)?;
        while self.lease().is_some() {
            let held = self.hold_tree(&named.descriptor);
            // Until it was held it may have lost its name, and then been deleted.
            let now = self.look_up(tag)?;
            if now.descriptor.digest() == named.descriptor.digest() {
                held?;
                break;
            }
            named = now;
        }
        Ok(named)
    }

    fn look_up(&self, tag: &Tag) -> Result<Named, StoreError> {
        let names = self.names()?;
        let known = names.iter().filter_map(|named| named.tag.clone()).collect();
        names
            .into_iter()
            .find(|named| named.tag.as_deref() == Some(tag.as_str()))
            .ok_or_else(|| self.no_such_tag(tag.as_str(), known))
    }

    fn hold_tree(&self, descriptor: &Descriptor) -> Result<(), StoreError> {
        let mut reach = Reach::default();
        reach.follow(&self.unheld(), descriptor)?;
        self.hold(&reach.digests().copied().collect::<Vec<_>>())
    }

    /// Calls the manifest `descriptor` points to `tag`, and nothing else so any more. Whatever the
    /// manifest names must be in the layout already; it is made durable before the name is. A store
    /// notes when that was.
    ///
    /// # Errors
    /// [`StoreError::Json`] when `index.json` is not an image index, [`StoreError::Io`]; in a store,
    /// [`StoreError::NoSuchBlob`] when the manifest is not there.
    pub fn name(&self, tag: &Tag, descriptor: &Descriptor) -> Result<(), StoreError> {
        let mut value =
            serde_json::to_value(descriptor).map_err(|source| self.json_error(source))?;
        value["annotations"][ANNOTATION_REF_NAME] = json!(tag.as_str());
        if self.lease().is_some() {
            if let Ok(digest) = descriptor.digest().to_string().parse()
                && !self.contains(&digest)
            {
                return Err(self.no_such_blob(&digest));
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            value["annotations"][WRITTEN] = json!(now.as_nanos().to_string());
        }
        self.rewrite(|list| {
            list.retain(|other| ref_name(other) != Some(tag.as_str()));
            list.push(value);
            Ok(())
        })
    }

    /// Takes the names `tags` away, all of them or none. What stands there without a name is called by
    /// its digest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTag`] for the first that there is not; those of [`Layout::names`].
    pub fn unname(&self, tags: &[String]) -> Result<(), StoreError> {
        self.rewrite(|list| {
            let known: Vec<_> = list.iter().filter_map(ref_name).map(str::to_owned).collect();
            for tag in tags {
                let before = list.len();
                list.retain(|value| ref_name(value).or(value["digest"].as_str()) != Some(tag));
                if list.len() == before {
                    return Err(self.no_such_tag(tag, known.clone()));
                }
            }
            Ok(())
        })
    }

    /// Takes names away that still are as they were found, and says which.
    pub(super) fn unname_found(&self, found: Vec<Named>) -> Result<Vec<Named>, StoreError> {
        if found.is_empty() {
            return Ok(found);
        }
        let same = |value: &Value, named: &Named| {
            ref_name(value) == named.tag.as_deref()
                && value["digest"].as_str() == Some(named.descriptor.digest().as_ref())
                && annotation(value, WRITTEN) == named.stamp.as_deref()
        };
        self.rewrite(|list| {
            let found = found.into_iter();
            let gone: Vec<Named> =
                found.filter(|named| list.iter().any(|value| same(value, named))).collect();
            list.retain(|value| !gone.iter().any(|named| same(value, named)));
            Ok(gone)
        })
    }

    /// Changes the list of manifests, alone, and makes the change durable.
    fn rewrite<T>(
        &self,
        change: impl FnOnce(&mut Vec<Value>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let marker = self.root().join("oci-layout");
        let lock = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&marker)
            .map_err(io_error("open", &marker))?;
        lock.lock().map_err(io_error("lock", &marker))?;
        let mut index = self.index()?;
        let list = index["manifests"].as_array_mut().expect("`index` gives none without a list");
        let changed = change(list)?;
        list.sort_by_cached_key(|value| {
            (ref_name(value).map(str::to_owned), value["digest"].as_str().map(str::to_owned))
        });
        sync_dir(&self.blobs_dir())?;
        let path = self.index_path();
        let mut file = self.temporary()?;
        file.write_all(&canonical_json(&index)).map_err(io_error("write", &path))?;
        keep(file, &path)?;
        sync_dir(self.root())?;
        Ok(changed)
    }

    /// When the name was written; for one of an older loci, when its manifest was, as far as that is
    /// known.
    pub(super) fn written(&self, named: &Named) -> SystemTime {
        named.written().unwrap_or_else(|| {
            let blob = named.digest().and_then(|digest| fs::metadata(self.path(&digest)).ok());
            blob.and_then(|blob| blob.modified().ok()).unwrap_or(UNIX_EPOCH)
        })
    }

    /// `index.json`, with a list of manifests for sure.
    fn index(&self) -> Result<Value, StoreError> {
        let path = self.index_path();
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let mut index: BTreeMap<String, Value> =
            serde_json::from_slice(&bytes).map_err(|source| self.json_error(source))?;
        let list: Vec<Value> = match index.remove("manifests") {
            Some(list) => serde_json::from_value(list).map_err(|source| self.json_error(source))?,
            None => Vec::new(),
        };
        index.insert("manifests".into(), list.into());
        Ok(json!(index))
    }

    fn no_such_tag(&self, tag: &str, known: Vec<String>) -> StoreError {
        StoreError::NoSuchTag { tag: tag.to_owned(), root: self.root().to_owned(), known }
    }

    fn json_error(&self, source: serde_json::Error) -> StoreError {
        StoreError::Json { what: self.index_path().display().to_string(), source }
    }
}

fn manifests(index: &Value) -> &[Value] {
    index["manifests"].as_array().map_or(&[], Vec::as_slice)
}

fn ref_name(descriptor: &Value) -> Option<&str> {
    annotation(descriptor, ANNOTATION_REF_NAME)
}

fn annotation<'a>(descriptor: &'a Value, key: &str) -> Option<&'a str> {
    descriptor.get("annotations")?.get(key)?.as_str()
}

/// Makes the names in a directory durable.
fn sync_dir(path: &Path) -> Result<(), StoreError> {
    std::fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", path))
}

#[cfg(test)]
mod tests {
    use oci_spec::image::{MediaType, Sha256Digest};

    use super::super::Store;
    use super::*;

    fn descriptor(bytes: &[u8]) -> Descriptor {
        let digest = Digest::of(bytes).hex().parse::<Sha256Digest>().unwrap();
        Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, digest)
    }

    #[test]
    fn a_name_is_moved_and_others_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let foreign = r#"{"schemaVersion":2,"x":1,"manifests":[{"mediaType":"m","size":1,"later":2,
            "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#;
        fs::write(layout.index_path(), foreign).unwrap();
        let tag = Tag::default();
        layout.name(&tag, &descriptor(b"one")).unwrap();
        layout.name(&tag, &descriptor(b"two")).unwrap();
        layout.name(&"a".parse().unwrap(), &descriptor(b"one")).unwrap();
        assert_eq!(layout.named(&tag).unwrap().digest(), Some(Digest::of(b"two")));
        let tags: Vec<_> = layout.names().unwrap().into_iter().map(|named| named.tag).collect();
        assert_eq!(tags, [None, Some("a".into()), Some("latest".into())]);
        let text = fs::read_to_string(layout.index_path()).unwrap();
        assert!(text.contains(r#""later":2"#) && text.contains(r#""x":1"#), "{text}");
    }

    #[test]
    fn only_a_store_notes_when() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let layout = Layout::create(&dir.path().join("layout")).unwrap();
        let tag = Tag::default();
        store.put(b"one").unwrap();
        let before = SystemTime::now();
        let mut written = Vec::new();
        for _ in 0..2 {
            store.layout().name(&tag, &descriptor(b"one")).unwrap();
            let named = store.tags().unwrap().remove(0);
            written.push(named.written().unwrap());
            layout.name(&tag, &named.descriptor).unwrap();
        }
        assert!(before <= written[0] && written[0] <= written[1], "{written:?}");
        assert_eq!(layout.names().unwrap()[0].written(), None);
        let absent = store.layout().name(&tag, &descriptor(b"two"));
        assert!(matches!(absent, Err(StoreError::NoSuchBlob { .. })));
    }

    #[test]
    fn an_unknown_name_comes_with_those_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let unknown = "2025.1".parse().unwrap();
        let text = layout.named(&unknown).unwrap_err().to_string();
        assert!(text.ends_with("there are no names"), "{text}");
        layout.name(&Tag::default(), &descriptor(b"one")).unwrap();
        let text = layout.named(&unknown).unwrap_err().to_string();
        assert!(text.ends_with("names there: `latest`"), "{text}");
    }

    #[test]
    fn a_foreign_index_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        for text in ["", "[]", r#"{"manifests":{}}"#, r#"{"manifests":[{"size":1}]}"#] {
            fs::write(layout.index_path(), text).unwrap();
            assert!(matches!(layout.names(), Err(StoreError::Json { .. })), "{text}");
        }
        fs::write(layout.index_path(), "{}").unwrap();
        assert_eq!(layout.names().unwrap(), []);
    }

    #[test]
    fn tags_are_checked() {
        for text in ["latest", "2025.1-noble", "loci/requirements:master", "a"] {
            assert_eq!(text.parse::<Tag>().unwrap().to_string(), text);
        }
        for text in ["", "-a", "a/", "a b", "ä", &"a".repeat(256)] {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
    }
}
