//! [`plan`]: which wheels share a layer.
//!
//! Large wheels have a layer each, so that an update moves only what changed; the many small ones
//! share a fixed number of layers by their names, so that a wheel stays in its layer over versions.
//! There are at most 60 layers in all: mounting past about 70 fails in older `BuildKit`, and running
//! past 125 fails everywhere.

use std::collections::BTreeMap;

use crate::store::set::SetWheel;
use crate::vocab::digest::Digest;

/// A wheel of so many bytes has a layer of its own.
const LARGE: u64 = 2 * 1024 * 1024;
/// The number of layers the small wheels share.
const BUCKETS: u8 = 16;
/// The most large wheels: 60 layers less the buckets and the metadata.
const MOST_LARGE: usize = 60 - BUCKETS as usize - 1;

/// The wheels of each layer: large ones first, by file name, then the buckets, each sorted by file
/// name. The metadata layer is not among them.
#[must_use]
pub(super) fn plan(wheels: &[SetWheel]) -> Vec<Vec<&SetWheel>> {
    let mut sorted: Vec<&SetWheel> = wheels.iter().collect();
    sorted.sort_by(|a, b| {
        b.size.cmp(&a.size).then_with(|| a.filename.as_str().cmp(b.filename.as_str()))
    });
    let large = sorted.iter().take(MOST_LARGE).take_while(|wheel| wheel.size >= LARGE).count();
    let mut small = sorted.split_off(large);
    sorted.sort_by_key(|wheel| wheel.filename.as_str());
    small.sort_by_key(|wheel| wheel.filename.as_str());
    let mut buckets: BTreeMap<u8, Vec<&SetWheel>> = BTreeMap::new();
    for wheel in small {
        let hash = Digest::of(wheel.filename.name().as_ref().as_bytes());
        buckets.entry(hash.as_bytes()[0] % BUCKETS).or_default().push(wheel);
    }
    sorted.into_iter().map(|wheel| vec![wheel]).chain(buckets.into_values()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::set::Origin;

    fn wheel(name: &str, size: u64) -> SetWheel {
        SetWheel {
            filename: format!("{name}-1-py3-none-any.whl").parse().unwrap(),
            digest: Digest::of(name.as_bytes()),
            size,
            origin: Origin::Imported { from: "test".into() },
        }
    }

    #[test]
    fn large_wheels_are_alone_and_small_ones_share() {
        let wheels: Vec<_> = (0..200)
            .map(|i| wheel(&format!("p{i:03}"), if i % 3 == 0 { LARGE + i } else { 1000 }))
            .collect();
        let layers = plan(&wheels);
        assert!(layers.len() <= 59, "{}", layers.len());
        assert!(layers[..MOST_LARGE].iter().all(|layer| layer.len() == 1));
        // 67 are large; the smallest of those share.
        assert!(layers[..MOST_LARGE].iter().all(|layer| layer[0].size > LARGE + 60));
        assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), wheels.len());
        assert!(plan(&[]).is_empty());
    }

    #[test]
    fn a_small_wheel_stays_in_its_layer() {
        let mut wheels: Vec<_> = (0..100).map(|i| wheel(&format!("p{i}"), 1000)).collect();
        let before = plan(&wheels).iter().map(Vec::len).collect::<Vec<_>>();
        wheels[5].filename = "p5-2-py3-none-any.whl".parse().unwrap();
        let after = plan(&wheels).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(before, after);
    }
}
