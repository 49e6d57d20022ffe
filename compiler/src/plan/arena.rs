//! The arena: places for intermediate values such that values that live at the same time do not
//! overlap.
//!
//! A value lives from the step that first writes it to the last step that touches it, both
//! included. Values are placed from the largest to the smallest, each in the tightest gap between
//! those placed before that live at the same time, or above them all.

use super::weights::{ALIGN, aligned};

/// A value to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub bytes: usize,
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
}

impl Life {
    fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the values, multiples of 64, and the arena's size.
pub(super) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].bytes), lives[i].first, i));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(lives.len());
    let mut total = 0;
    for i in order {
        let life = &lives[i];
        let bytes = aligned(life.bytes).max(ALIGN);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| lives[other].meets(life))
            .map(|&other| (offsets[other], aligned(lives[other].bytes).max(ALIGN)))
            .collect();
        taken.sort_unstable();
        offsets[i] = tightest(&taken, bytes);
        total = total.max(offsets[i] + bytes);
        placed.push(i);
    }
    (offsets, total)
}

/// Where `bytes` fit most tightly between the taken ranges, which are sorted.
fn tightest(taken: &[(usize, usize)], bytes: usize) -> usize {
    let mut best: Option<(usize, usize)> = None;
    let mut end = 0;
    for &(offset, length) in taken {
        if offset >= end + bytes {
            let gap = offset - end;
            if best.is_none_or(|(least, _)| gap < least) {
                best = Some((gap, end));
            }
        }
        end = end.max(offset + length);
    }
    best.map_or(end, |(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_different_times_share() {
        let lives = [
            Life { bytes: 100, first: 0, last: 1 },
            Life { bytes: 100, first: 1, last: 2 },
            Life { bytes: 100, first: 2, last: 3 },
        ];
        assert_eq!(place(&lives), (vec![0, 128, 0], 256));
    }

    #[test]
    fn the_tightest_gap_is_taken() {
        assert_eq!(tightest(&[(0, 64), (256, 64), (384, 64)], 64), 320);
        assert_eq!(tightest(&[(0, 64), (256, 64)], 192), 64);
        assert_eq!(tightest(&[(0, 64), (256, 64)], 256), 320);
    }

    proptest! {
        #[test]
        fn no_two_live_values_overlap(
            raw in prop::collection::vec((1usize..5000, 0usize..20, 0usize..6), 1..40)
        ) {
            let lives: Vec<Life> = raw
                .iter()
                .map(|&(bytes, first, length)| Life { bytes, first, last: first + length })
                .collect();
            let (offsets, total) = place(&lives);
            for i in 0..lives.len() {
                prop_assert_eq!(offsets[i] % ALIGN, 0);
                prop_assert!(offsets[i] + lives[i].bytes <= total);
                for j in 0..i {
                    if lives[i].meets(&lives[j]) {
                        let apart = offsets[i] + lives[i].bytes <= offsets[j]
                            || offsets[j] + lives[j].bytes <= offsets[i];
                        prop_assert!(apart, "{:?} and {:?}", lives[i], lives[j]);
                    }
                }
            }
        }
    }
}
