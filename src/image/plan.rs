//! [`plan`]: which wheels share a layer.
//!
//! What changes in an update moves with all that shares its layer, and there are at most 60 layers: mounting
//! past about 70 fails in older `BuildKit`, and running past 125 fails everywhere. So the largest wheels have
//! a layer each, and the others share layers with wheels of about their size, chosen by their names, so
//! that a wheel stays in its layer over versions. Most wheels are small, and most of the bytes are in
//! a few: layers of one size would make each small wheel move as much as a large one
//! (`benches/README.md`).

use crate::store::set::SetWheel;
use crate::vocab::digest::Digest;

/// So many wheels at most have a layer of their own, the largest of those of [`LARGE`] bytes and more.
const ALONE: usize = 24;
/// See [`ALONE`].
const LARGE: u64 = 1 << 20;
/// How the others share: wheels of so many bytes and more, in so many layers. With those alone and the
/// metadata it is 60 layers.
const CLASSES: [(u64, usize); 3] = [(1 << 20, 12), (128 << 10, 14), (0, 9)];

/// The wheels of each layer: large ones first, by file name, then those that share, each sorted by file
/// name. The metadata layer is not among them.
#[must_use]
pub(super) fn plan(wheels: &[SetWheel]) -> Vec<Vec<&SetWheel>> {
    let mut alone: Vec<&SetWheel> = wheels.iter().collect();
    alone.sort_by(|a, b| {
        b.size.cmp(&a.size).then_with(|| a.filename.as_str().cmp(b.filename.as_str()))
    });
    let count = alone.iter().take(ALONE).take_while(|wheel| wheel.size >= LARGE).count();
    let mut others = alone.split_off(count);
    alone.sort_by_key(|wheel| wheel.filename.as_str());
    let mut layers: Vec<Vec<&SetWheel>> = alone.into_iter().map(|wheel| vec![wheel]).collect();
    for (least, count) in CLASSES {
        let smaller = others.split_off(others.partition_point(|wheel| wheel.size >= least));
        layers.extend(share(&others, count).into_iter().filter(|layer| !layer.is_empty()));
        others = smaller;
    }
    layers
}

/// Wheels in `count` layers: each in the one that the hash of its name says or, where that is full, in
/// the next that is not. No layer is much larger than the others, and yet few wheels move when the size
/// of one changes.
fn share<'a>(wheels: &[&'a SetWheel], count: usize) -> Vec<Vec<&'a SetWheel>> {
    let total: u64 = wheels.iter().map(|wheel| wheel.size).sum();
    // A quarter more than the mean; rounded, so that it is seldom another one after an update.
    let full = (total / count as u64 * 5 / 4).next_multiple_of(1 << 20);
    let mut hashed: Vec<(u64, &SetWheel)> =
        wheels.iter().map(|wheel| (hash(wheel), *wheel)).collect();
    hashed.sort_by(|(a, one), (b, other)| {
        a.cmp(b).then_with(|| one.filename.as_str().cmp(other.filename.as_str()))
    });
    let mut layers = vec![Vec::new(); count];
    let mut sizes = vec![0; count];
    for (hash, wheel) in hashed {
        let first = (hash % count as u64) as usize;
        let at = (first..count)
            .chain(0..first)
            .find(|at| sizes[*at] == 0 || sizes[*at] + wheel.size <= full)
            .unwrap_or(first);
        sizes[at] += wheel.size;
        layers[at].push(wheel);
    }
    for layer in &mut layers {
        layer.sort_by_key(|wheel| wheel.filename.as_str());
    }
    layers
}

fn hash(wheel: &SetWheel) -> u64 {
    let digest = Digest::of(wheel.filename.name().as_ref().as_bytes());
    let (bytes, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*bytes)
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

    /// As many wheels as OpenStack's constraints have, spread over sizes as those are.
    fn many() -> Vec<SetWheel> {
        let of = |kind: &str, count: u64, least: u64, most: u64| {
            let size = move |i| least + (most - least) * i / count;
            (0..count).map(move |i| (format!("{kind}{i}"), size(i))).collect::<Vec<_>>()
        };
        let all = [
            of("tiny", 370, 4_000, 100_000),
            of("small", 130, 100_000, 500_000),
            of("middle", 40, 500_000, 2_000_000),
            of("large", 40, 2_000_000, 16_000_000),
            of("huge", 3, 30_000_000, 50_000_000),
        ];
        all.concat().iter().map(|(name, size)| wheel(name, *size)).collect()
    }

    #[test]
    fn the_largest_are_alone_and_others_share_with_their_like() {
        let wheels = many();
        let layers = plan(&wheels);
        assert_eq!(layers.len(), 59);
        assert!(layers[..ALONE].iter().all(|layer| layer.len() == 1));
        assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), wheels.len());
        let least_alone = layers[..ALONE].iter().map(|layer| layer[0].size).min().unwrap();
        for layer in &layers[ALONE..] {
            assert!(layer.iter().all(|wheel| wheel.size <= least_alone));
            assert!(layer.is_sorted_by_key(|wheel| wheel.filename.as_str()));
            let class =
                |wheel: &SetWheel| CLASSES.iter().position(|(least, _)| wheel.size >= *least);
            assert!(layer.iter().all(|wheel| class(wheel) == class(layer[0])));
        }
        assert!(plan(&[]).is_empty());
        // Few wheels need few layers.
        assert_eq!(plan(&[wheel("a", 1), wheel("b", LARGE), wheel("c", LARGE)]).len(), 3);
    }

    #[test]
    fn a_small_wheel_moves_little() {
        let wheels = many();
        let layers = plan(&wheels);
        let size = |layer: &Vec<&SetWheel>| layer.iter().map(|wheel| wheel.size).sum::<u64>();
        let largest_with =
            |most: u64| layers.iter().filter(|layer| layer[0].size < most).map(size).max().unwrap();
        assert!(largest_with(128 << 10) < 3 << 20);
        assert!(largest_with(1 << 20) < 6 << 20);
    }

    #[test]
    fn other_wheels_stay_where_they_are_when_some_change() {
        let before = many();
        let mut after = before.clone();
        for wheel in after.iter_mut().step_by(117) {
            let name = wheel.filename.to_string().replace("-1-", "-2-");
            *wheel = SetWheel {
                filename: name.parse().unwrap(),
                digest: Digest::of(name.as_bytes()),
                size: wheel.size + wheel.size / 50,
                origin: wheel.origin.clone(),
            };
        }
        let changed = after.iter().filter(|wheel| !before.contains(wheel)).count();
        let (old, new) = (plan(&before), plan(&after));
        let moved = new.iter().filter(|layer| !old.contains(layer)).count();
        assert!(moved <= changed, "{moved} layers for {changed} wheels");
    }
}
