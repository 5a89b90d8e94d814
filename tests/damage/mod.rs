//! Media files that were damaged: the same ones for the same seed, on every machine.

use std::path::Path;

/// The seed's numbers (SplitMix64).
pub struct Dice(u64);

/// The largest file that is damaged, in bytes: what counts is how many files there are.
const MAX_BYTES: u64 = 72 << 10;

/// The most bytes of a file that is random altogether.
const MAX_RANDOM: usize = 16 << 10;

/// Where containers keep what all else depends on.
const HEAD: usize = 512;

impl Dice {
    /// The dice for one file of a series.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("it is below a size")
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }
}

/// Whole files to damage, by name.
pub fn whole_files(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/media");
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(media.join(folder)).expect("the clips are shipped") {
            let entry = entry.expect("readable");
            let name = entry.file_name().into_string().expect("text");
            let is_clip = !["md5", ".sh", ".md"].iter().any(|end| name.ends_with(end));
            let metadata = entry.metadata().expect("readable");
            if is_clip && metadata.is_file() && (1..=MAX_BYTES).contains(&metadata.len()) {
                files.push((format!("{folder}/{name}"), std::fs::read(entry.path()).expect("readable")));
            }
        }
    }
    files.sort();
    files
}

/// A damaged file, and what was done to it.
pub fn damaged(files: &[(String, Vec<u8>)], dice: &mut Dice) -> (String, Vec<u8>) {
    let (name, whole) = &files[dice.below(files.len())];
    let mut data = whole.clone();
    let end = data.len();
    let what = match dice.below(8) {
        0 => flip(&mut data, end, dice),
        1 => flip(&mut data, end.min(HEAD), dice),
        2 => {
            data.truncate(dice.below(end));
            format!("cut off after {} bytes", data.len())
        }
        3 => {
            let (other, tail) = &files[dice.below(files.len())];
            data.truncate(dice.below(end));
            data.extend(&tail[dice.below(tail.len())..]);
            format!("spliced with {other}")
        }
        4 => overwrite(&mut data, dice),
        5 => lie_about_sizes(&mut data, dice),
        6 => {
            let (from, to) = (dice.below(end), dice.below(end));
            data.drain(from.min(to)..from.max(to));
            "a piece left out".to_owned()
        }
        _ => {
            data.truncate(dice.below(64).min(end));
            let length = 1 + dice.below(MAX_RANDOM);
            data.extend((0..length).map(|_| dice.byte()));
            "random but for the first bytes".to_owned()
        }
    };
    (format!("{name}, {what}"), data)
}

fn flip(data: &mut [u8], end: usize, dice: &mut Dice) -> String {
    let count = 1 + dice.below(64);
    for _ in 0..count {
        data[dice.below(end)] ^= 1 << dice.below(8);
    }
    format!("{count} bits flipped before byte {end}")
}

fn overwrite(data: &mut [u8], dice: &mut Dice) -> String {
    let from = dice.below(data.len());
    let to = (from + 1 + dice.below(256)).min(data.len());
    data[from..to].fill_with(|| dice.byte());
    format!("random from {from} to {to}")
}

/// Puts numbers that are too large, or 0, where some size may have been.
fn lie_about_sizes(data: &mut [u8], dice: &mut Dice) -> String {
    const LIES: [u32; 5] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    for _ in 0..4 {
        let at = dice.below(data.len().min(HEAD));
        for (byte, lie) in data[at..].iter_mut().zip(LIES[dice.below(LIES.len())].to_be_bytes()) {
            *byte = lie;
        }
    }
    "sizes changed".to_owned()
}
