//! [`Bits`]: how many of a bag's integers have each bit, for bit_and, bit_or and bit_xor.

use super::error::EvalError;
use super::{read, Kind};

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits {
    kind: Kind,
    count: i64,
    ones: Box<[i64]>,
}

/// How a bit of the result follows from the number of ones among all values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    And,
    Or,
    Xor,
}

impl Bits {
    /// Of no values of an integer kind.
    pub fn new(kind: Kind) -> Self {
        let width = match kind {
            Kind::Int2 => 16,
            Kind::Int4 => 32,
            _ => 64,
        };
        Bits { kind, count: 0, ones: vec![0; width].into() }
    }

    /// Adds `diff` times a value.
    pub fn add(&mut self, image: &[u8], diff: i64) -> Result<(), EvalError> {
        let value = match self.kind {
            Kind::Int2 => i64::from(read::int2(self.kind, image)?),
            Kind::Int4 => i64::from(read::int4(self.kind, image)?),
            _ => read::int8(self.kind, image)?,
        };
        self.count += diff;
        for (at, ones) in self.ones.iter_mut().enumerate() {
            *ones += diff * (value >> at & 1);
        }
        Ok(())
    }

    pub fn merge(&mut self, other: &Bits) {
        self.count += other.count;
        self.ones.iter_mut().zip(&other.ones).for_each(|(ones, more)| *ones += more);
    }

    pub fn is_zero(&self) -> bool {
        self.count == 0 && self.ones.iter().all(|ones| *ones == 0)
    }

    pub fn is_sound(&self) -> bool {
        self.count >= 0 && self.ones.iter().all(|ones| (0..=self.count).contains(ones))
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.ones)
    }

    /// The combination of all values; NULL of none.
    pub fn result(&self, combination: Combination) -> Option<Vec<u8>> {
        if self.count <= 0 {
            return None;
        }
        let mut value = 0u64;
        for (at, ones) in self.ones.iter().enumerate() {
            let bit = match combination {
                Combination::And => *ones == self.count,
                Combination::Or => *ones > 0,
                Combination::Xor => ones % 2 != 0,
            };
            value |= u64::from(bit) << at;
        }
        Some(match self.kind {
            Kind::Int2 => (value as u16).to_ne_bytes().to_vec(),
            Kind::Int4 => (value as u32).to_ne_bytes().to_vec(),
            _ => value.to_ne_bytes().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_and_go() {
        let mut bits = Bits::new(Kind::Int2);
        let result = |bits: &Bits, how| bits.result(how).map(|image| i16::from_ne_bytes(image.try_into().unwrap()));
        for (value, diff) in [(0b1100i16, 2), (0b1010, 1), (-1, 1)] {
            bits.add(&value.to_ne_bytes(), diff).unwrap();
        }
        assert_eq!(result(&bits, Combination::And), Some(0b1000));
        assert_eq!(result(&bits, Combination::Or), Some(-1));
        assert_eq!(result(&bits, Combination::Xor), Some(!0b1010));
        bits.add(&(-1i16).to_ne_bytes(), -1).unwrap();
        assert_eq!(result(&bits, Combination::Or), Some(0b1110));
        bits.add(&0b0110i16.to_ne_bytes(), -3).unwrap();
        assert!(!bits.is_sound());
        bits.add(&0b0110i16.to_ne_bytes(), 3).unwrap();
        for (value, diff) in [(0b1100i16, -2), (0b1010, -1)] {
            bits.add(&value.to_ne_bytes(), diff).unwrap();
        }
        assert!(bits.is_zero() && bits.is_sound());
        assert_eq!(result(&bits, Combination::And), None);
    }
}
