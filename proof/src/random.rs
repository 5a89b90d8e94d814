//! Numbers that look random and come again from the same seed.

/// A generator of numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let drawn = self.draw().checked_rem(end as u64).unwrap_or_default();
        usize::try_from(drawn).unwrap_or_default()
    }

    /// True once in `rarely` times.
    pub fn is(&mut self, rarely: usize) -> bool {
        self.below(rarely) == 0
    }
}
