//! One BPF program out of one per system call: a binary search for the call's number, and the programs behind it.
//!
//! A chain of comparisons would do the same. But when a filter is installed the kernel runs it for every call there is, to
//! find those that are always allowed, and with a chain that takes a third of a millisecond.

use std::collections::{BTreeMap, HashMap};

use crate::filter::{Instruction, Program};

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const IF_NOT_BELOW: u16 = 0x35;
/// Where `struct seccomp_data` has the call's number.
const NUMBER: u32 = 0;
/// Instructions of a leaf of the search.
const LEAF: usize = 3;
/// Instructions of an inner node, without what is below it.
const NODE: usize = 2;

/// Builds the program. `guard` comes first; `fragments` belong to one call each and `otherwise` to all others, and each of them
/// ends in a verdict. Equal fragments are kept once.
pub(crate) fn build(guard: &Program, fragments: &BTreeMap<u32, Program>, otherwise: &Program) -> Program {
    let mut body = Body::default();
    let default = body.place(otherwise);
    let leaves: Vec<(u32, usize)> = fragments.iter().map(|(&number, program)| (number, body.place(program))).collect();
    let mut search = vec![Instruction { code: LOAD, jt: 0, jf: 0, k: NUMBER }];
    if leaves.is_empty() {
        search.push(jump(default));
    } else {
        let length = 1 + size(leaves.len());
        Search { length, default }.write(&leaves, &mut search);
    }
    [guard.as_slice(), &search, &body.program].concat()
}

/// A jump over `distance` instructions.
pub(crate) fn jump(distance: usize) -> Instruction {
    // No program is longer than the kernel's 4096 instructions; one that were, the kernel would refuse.
    Instruction { code: JUMP, jt: 0, jf: 0, k: u32::try_from(distance).unwrap_or(u32::MAX) }
}

/// The fragments, one after the other.
#[derive(Default)]
struct Body {
    program: Program,
    places: HashMap<Program, usize>,
}

impl Body {
    /// Where `fragment` begins.
    fn place(&mut self, fragment: &Program) -> usize {
        if let Some(&place) = self.places.get(fragment) {
            return place;
        }
        let place = self.program.len();
        self.program.extend(fragment);
        self.places.insert(fragment.clone(), place);
        place
    }
}

/// Instructions of a search among `leaves`.
fn size(leaves: usize) -> usize {
    leaves * LEAF + (leaves - 1) * NODE
}

struct Search {
    /// Instructions of the whole search; the body begins behind it.
    length: usize,
    default: usize,
}

impl Search {
    fn write(&self, leaves: &[(u32, usize)], search: &mut Program) {
        if let [(number, place)] = *leaves {
            search.push(Instruction { code: IF_EQUAL, jt: 0, jf: 1, k: number });
            search.push(jump(self.length - search.len() - 1 + place));
            search.push(jump(self.length - search.len() - 1 + self.default));
            return;
        }
        let (lower, upper) = leaves.split_at(leaves.len() / 2);
        search.push(Instruction { code: IF_NOT_BELOW, jt: 0, jf: 1, k: upper[0].0 });
        search.push(jump(size(lower.len())));
        self.write(lower, search);
        self.write(upper, search);
    }
}
