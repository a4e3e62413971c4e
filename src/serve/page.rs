//! [`Page`]: a text made once, plain and compressed, each with its own entity tag.

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use libdeflater::{CompressionLvl, Compressor};

use crate::vocab::digest::Hasher;

/// What is smaller is not worth the work of unpacking it.
const WORTH_PACKING: usize = 512;

/// A text ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Its media type.
    pub content_type: &'static str,
    plain: Body,
    gzip: Option<Body>,
}

/// One encoding of it.
#[derive(Debug, Clone)]
pub(super) struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// Their strong entity tag.
    pub etag: HeaderValue,
}

impl Page {
    /// The page with this text.
    pub(super) fn new(content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        let tag = tag(content_type, &bytes);
        let gzip = gzip(&bytes).map(|bytes| Body { bytes, etag: quoted(&format!("{tag}-gzip")) });
        Self { content_type, plain: Body { bytes, etag: quoted(&tag) }, gzip }
    }

    /// The same text as another media type.
    pub(super) fn retyped(&self, content_type: &'static str) -> Self {
        let tag = tag(content_type, &self.plain.bytes);
        let retagged =
            |body: &Body, tag: &str| Body { bytes: body.bytes.clone(), etag: quoted(tag) };
        Self {
            content_type,
            plain: retagged(&self.plain, &tag),
            gzip: self.gzip.as_ref().map(|body| retagged(body, &format!("{tag}-gzip"))),
        }
    }

    /// The text as it is.
    pub(super) fn plain(&self) -> &Body {
        &self.plain
    }

    /// The text compressed by gzip; none where that would save nothing.
    pub(super) fn gzip(&self) -> Option<&Body> {
        self.gzip.as_ref()
    }
}

/// A tag that no other text has, nor this one as another media type.
fn tag(content_type: &str, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(content_type.as_bytes());
    hasher.update(b"\0");
    hasher.update(bytes);
    hasher.finish().0.hex()[..32].to_owned()
}

/// A tag as it stands in a header.
pub(super) fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\""))
        .expect("hex digits, hyphens and letters are visible")
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < WORTH_PACKING {
        return None;
    }
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let length = compressor.gzip_compress(bytes, &mut packed).ok()?;
    packed.truncate(length);
    (length < bytes.len()).then(|| Bytes::from(packed.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::vocab::digest::Digest;

    #[test]
    fn each_encoding_and_type_has_its_tag() {
        let text = "wheel ".repeat(1000);
        let page = Page::new("text/html", text.clone());
        let packed = page.gzip().unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed.bytes).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
        let other = page.retyped("application/x");
        assert_eq!(other.plain().bytes, page.plain().bytes);
        let mut tags = vec![
            &page.plain().etag,
            &packed.etag,
            &other.plain().etag,
            &other.gzip().unwrap().etag,
        ];
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4);
        assert_eq!(other.plain().etag, Page::new("application/x", text).plain().etag);
    }

    #[test]
    fn what_would_not_shrink_is_not_packed() {
        assert!(Page::new("text/html", "short").gzip().is_none());
        let noise: Vec<u8> =
            (0_u32..30).flat_map(|n| *Digest::of(&n.to_le_bytes()).as_bytes()).collect();
        assert!(Page::new("text/html", noise).gzip().is_none());
    }
}
