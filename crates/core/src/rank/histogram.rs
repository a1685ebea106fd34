//! Histograms over the order in which things go: sums by bucket, so that a cut is found without a list.
//!
//! A bucket with a lower index goes before one with a higher index. Ages fall into buckets of equal ratio (a
//! thousandth of the age) or of equal width, names into one bucket for each two bytes.

/// The sums of one bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// How many things.
    pub(super) count: u64,
    /// How much of what is asked for.
    pub(super) amount: u64,
    /// Whether something in it amounts to nothing.
    pub(super) has_empty: bool,
    /// The greatest position.
    pub(super) oldest: u128,
    /// The least position.
    pub(super) youngest: u128,
}

/// How things fall into buckets.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Ratio,
    Width { oldest: u128, width: u128 },
    Names,
}

/// Sums by bucket. Memory is taken for what is used, a thousand buckets at a time.
#[derive(Debug)]
pub(super) struct Histogram {
    layout: Layout,
    chunks: Vec<Option<Box<[Bucket]>>>,
}

/// Where the running sum reaches what is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) index: usize,
    pub(super) bucket: Bucket,
    /// The sum of all buckets that go before it.
    pub(super) before: u64,
}

const CHUNK: usize = 1024;

/// Ten bits of each number count, beside its magnitude.
const PRECISION: u32 = 10;

const EMPTY: Bucket = Bucket { count: 0, amount: 0, has_empty: false, oldest: 0, youngest: u128::MAX };

impl Histogram {
    /// Over all positions.
    pub(super) fn by_ratio() -> Self {
        Self { layout: Layout::Ratio, chunks: Vec::new() }
    }

    /// Over the positions of one bucket.
    pub(super) fn by_width(oldest: u128, youngest: u128) -> Self {
        let width = oldest.saturating_sub(youngest) / (64 * CHUNK as u128) + 1;
        Self { layout: Layout::Width { oldest, width }, chunks: Vec::new() }
    }

    /// Over the two bytes with which what is left of a name begins.
    pub(super) fn by_name() -> Self {
        Self { layout: Layout::Names, chunks: Vec::new() }
    }

    /// Adds one thing; `rest` is what is left of its name.
    pub(super) fn add(&mut self, position: u128, rest: &[u8], amount: u64) {
        let index = match self.layout {
            Layout::Ratio => magnitude(u128::MAX) - magnitude(position),
            Layout::Width { oldest, width } => usize::try_from(oldest.saturating_sub(position) / width).unwrap_or(0),
            Layout::Names => {
                // No name holds a zero byte, so a name that has ended goes before those that go on.
                let byte = |index: usize| usize::from(rest.get(index).copied().unwrap_or(0));
                (byte(0) << 8) | byte(1)
            }
        };
        let (chunk, place) = (index / CHUNK, index % CHUNK);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let bucket = &mut self.chunks[chunk].get_or_insert_with(|| vec![EMPTY; CHUNK].into_boxed_slice())[place];
        bucket.count += 1;
        bucket.amount = bucket.amount.saturating_add(amount);
        bucket.has_empty |= amount == 0;
        bucket.oldest = bucket.oldest.max(position);
        bucket.youngest = bucket.youngest.min(position);
    }

    /// Adds to the amount of something that was counted before.
    pub(super) fn add_amount(&mut self, position: u128, amount: u64) {
        self.add(position, b"", amount);
    }

    /// The bucket in which the sum reaches `need`, which is above zero; `None` when all of it is less.
    pub(super) fn find(&self, need: u64) -> Option<Found> {
        let mut before = 0_u64;
        for (number, chunk) in self.chunks.iter().enumerate() {
            for (place, bucket) in chunk.iter().flat_map(|chunk| chunk.iter()).enumerate() {
                let sum = before.saturating_add(bucket.amount);
                if sum >= need {
                    return Some(Found { index: number * CHUNK + place, bucket: *bucket, before });
                }
                before = sum;
            }
        }
        None
    }
}

/// The two bytes that an index of [`Histogram::by_name`] stands for; fewer where the name has ended.
pub(super) fn bytes_of(index: usize) -> impl Iterator<Item = u8> {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    index.to_be_bytes().into_iter().take_while(|byte| *byte != 0)
}

/// Numbers in order, a thousandth apart.
fn magnitude(number: u128) -> usize {
    let bits = u128::BITS - number.leading_zeros();
    let Some(dropped) = bits.checked_sub(PRECISION + 1) else {
        return usize::try_from(number).expect("below 2048");
    };
    let top = usize::try_from(number >> dropped).expect("eleven bits");
    (dropped as usize) * CHUNK + top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_keep_the_order_and_stay_within_a_thousandth() {
        let numbers: Vec<u128> = (0..128).flat_map(|bit| [(1_u128 << bit) - 1, 1 << bit, (1 << bit) | 1]).collect();
        let mut sorted = numbers;
        sorted.sort_unstable();
        assert!(sorted.is_sorted_by_key(|number| magnitude(*number)));
        assert_eq!((magnitude(0), magnitude(2047), magnitude(2048), magnitude(4096)), (0, 2047, 2048, 3072));
        assert!(magnitude(u128::MAX) < 120 * CHUNK);
        assert!(magnitude(1_000_000) < magnitude(1_001_000));
    }

    #[test]
    fn the_sum_is_reached_from_the_oldest_on() {
        for mut histogram in [Histogram::by_ratio(), Histogram::by_width(1 << 90, 5)] {
            for (position, amount) in [(1 << 90, 3), (1 << 80, 4), (5, 100)] {
                histogram.add(position, b"", amount);
            }
            let before = |need| histogram.find(need).map(|found| found.before);
            assert_eq!((before(3), before(107), before(108)), (Some(0), Some(7), None));
        }
        let mut names = Histogram::by_name();
        for name in [&b"ab"[..], b"a", b"", b"aa-and-more"] {
            names.add(0, name, 1);
        }
        let order = [1, 2, 3, 4].map(|need| bytes_of(names.find(need).unwrap().index).collect::<Vec<_>>());
        assert_eq!(order, [b"".to_vec(), b"a".to_vec(), b"aa".to_vec(), b"ab".to_vec()]);
    }
}
