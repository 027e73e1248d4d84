//! The few numbers a comparison needs: medians, an interval for a median, a seeded coin.
//!
//! Comes in: values. Goes out: values. Pure, so that the table can be checked by hand.

/// Median of a list; none of an empty one.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// An interval that holds the true median with at least 95 %, whatever the distribution: the
/// k-th lowest and highest values, k the largest for which the binomial tails stay below 2.5 %
/// each (the sign test turned around). For fewer than six values there is none: the extremes.
pub(super) fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    let mut tail = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut probability = tail;
    let mut rank = 0;
    while rank + 1 < count / 2 {
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let step = (count - rank) as f64 / (rank + 1) as f64;
        probability *= step;
        if tail + probability > 0.025 {
            break;
        }
        tail += probability;
        rank += 1;
    }
    // With `rank` values allowed outside on either side, the interval begins at the next one.
    let low = sorted.get(rank)?;
    Some((*low, sorted[count - 1 - rank]))
}

/// A sorted copy; no value is NaN where a target has answered.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// A coin whose throws follow from a seed (xorshift64*, Vigna 2016).
pub(super) struct Coin(u64);

impl Coin {
    pub(super) fn new(seed: u64) -> Coin {
        Coin(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// One throw.
    pub(super) fn heads(&mut self) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    /// Ranks from the tables of the sign test: 6 values: extremes; 9: the second from each end;
    /// 20: the sixth.
    #[test]
    fn median_intervals() {
        for (count, low) in [(1, 1), (5, 1), (6, 1), (9, 2), (12, 3), (20, 6)] {
            let values: Vec<f64> = (1..=count).map(f64::from).collect();
            let expected = (f64::from(low), f64::from(count + 1 - low));
            assert_eq!(median_interval(&values), Some(expected), "{count} values");
        }
        assert_eq!(median_interval(&[]), None);
    }

    #[test]
    fn a_coin_is_fair_and_follows_its_seed() {
        let throws = |seed| {
            let mut coin = Coin::new(seed);
            (0..1000).map(|_| coin.heads()).collect::<Vec<bool>>()
        };
        let heads = throws(7).iter().filter(|heads| **heads).count();
        assert!((400..600).contains(&heads), "{heads}");
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }
}
