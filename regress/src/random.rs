//! Random numbers that a seed gives again: SplitMix64.
//!
//! The seed of a test comes from `TRICKLE_SEED`, or from the clock, and is printed, so that a failure names what
//! reproduces it.

/// A small generator, good enough to choose statements and values.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The seed that `TRICKLE_SEED` asks for, or a new one; printed either way.
    pub fn seed(test: &str) -> u64 {
        let seed = match std::env::var("TRICKLE_SEED") {
            Ok(text) => text.parse().expect("TRICKLE_SEED is a number"),
            Err(_) => {
                let now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock past 1970");
                now.as_nanos() as u64 % 1_000_000_000
            }
        };
        println!("{test}: TRICKLE_SEED={seed}");
        seed
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &'a [&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// An independent generator, for another thread.
    pub fn fork(&mut self) -> Random {
        Random(self.draw())
    }
}
