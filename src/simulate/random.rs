//! Seeded random numbers whose sequence never changes.
//!
//! In: a seed. Out: numbers by xoshiro256++ (Blackman and Vigna, 2019, public domain, prng.di.unimi.it), its state
//! filled by SplitMix64 (Steele, Lea and Flood, 2014). Invariant: the same seed gives the same numbers in every
//! release and on every machine, which the `rand` crate does not promise; only integers and the four basic
//! operations on floats are used. Not for salts, ids or anything that must not be guessed.

/// One step of SplitMix64 from `x`: a well mixed function of its argument.
pub fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The generator.
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        let state = std::array::from_fn(|_| {
            let value = mix(x);
            x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            value
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number `0..n`; 0 when `n` is 0. The bias of the multiplication is below n / 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number `low..high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(1) as u64) as i64
    }

    /// True `n` times in `of`.
    pub fn one_in(&mut self, n: u64, of: u64) -> bool {
        self.below(of) < n
    }

    /// A number 0..1 with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An entry of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_algorithms() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: [u64; 3] = std::array::from_fn(|_| random.bits());
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(7);
        assert!((0..10_000).all(|_| random.below(3) < 3 && random.unit() < 1.0));
        assert!((0..10_000).all(|_| (-5..9).contains(&random.between(-5, 9))));
    }
}
