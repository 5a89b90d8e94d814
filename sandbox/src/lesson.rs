//! What a worker was seen to need beyond its profile, as rules to add.

use std::fmt::{self, Write};

use nix::errno::Errno;
use syscalls::Sysno;

use crate::decode;
use crate::rule::Test;
use crate::sys::Notification;
use crate::violation::{Consequence, Violation};

/// How many different lessons of one worker are kept; those beyond are only counted.
pub const LESSONS_MAX: usize = 256;

/// A kind of call that no rule allows, as a learning worker made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The call as it was made first, and how often it was made.
    pub violation: Violation,
    /// Which of its arguments say what it is about.
    pub tests: Vec<Test>,
}

/// The lessons of a learning worker, each once, in the order in which they first came.
///
/// `{}` prints Rust code to paste: the rules to add to the profile, and as comments what was refused all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    lessons: Vec<Lesson>,
    more: u64,
}

impl Learned {
    /// The lessons.
    pub fn lessons(&self) -> &[Lesson] {
        &self.lessons
    }

    /// How many calls were not noted, since [`LESSONS_MAX`] lessons were known already.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Takes in what another worker of the same kind has learned.
    pub fn extend(&mut self, other: &Self) {
        other.lessons.iter().for_each(|lesson| self.note(lesson.clone()));
        self.more = self.more.saturating_add(other.more);
    }

    pub(crate) fn add(&mut self, notification: &Notification, consequence: Consequence) {
        let violation = Violation::new(notification, consequence);
        let test = |&index: &u8| Some(Test::Is(index, *violation.arguments.get(usize::from(index))?));
        let tests = decode::selectors(&violation.call).iter().filter_map(test).collect();
        self.note(Lesson { violation, tests });
    }

    fn note(&mut self, lesson: Lesson) {
        let about =
            |lesson: &Lesson| (lesson.violation.call.clone(), lesson.violation.consequence, lesson.tests.clone());
        let new = about(&lesson);
        if let Some(known) = self.lessons.iter_mut().find(|known| about(known) == new) {
            known.violation.count = known.violation.count.saturating_add(lesson.violation.count);
        } else if self.lessons.len() < LESSONS_MAX {
            self.lessons.push(lesson);
        } else {
            self.more = self.more.saturating_add(lesson.violation.count);
        }
    }
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lessons.is_empty() {
            return f.write_str("// Nothing was learned: the profile's rules are enough.");
        }
        f.write_str(
            "// Learned. Each rule opens something: keep those for which you can say who needs them, and say it.",
        )?;
        for lesson in &self.lessons {
            write!(f, "\n{lesson}")?;
        }
        if self.more > 0 {
            write!(f, "\n// {} calls more were not noted.", self.more)?;
        }
        Ok(())
    }
}

/// One rule, or the reason why there is none.
impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { call, arguments, count, .. } = &self.violation;
        let made = format!("{call}({}), {count} times", decode::arguments(call, arguments));
        match self.violation.consequence {
            Consequence::Killed => write!(f, "// {made}: killed; no worker is ever allowed that"),
            Consequence::Failed(errno) => {
                write!(f, "// {made}: failed with {:?}, as without learning", Errno::from_raw(errno))
            }
            Consequence::LetThrough if call.parse::<Sysno>().is_err() => write!(f, "// {made}: a call without a name"),
            Consequence::LetThrough => {
                let mut rule = format!(".rule(Rule::allow({call:?}, \"who needs it?\")");
                for test in &self.tests {
                    write!(rule, ".when({})", code(test))?;
                }
                write!(f, "{rule}) // {made}")
            }
        }
    }
}

/// A condition as Rust code.
fn code(test: &Test) -> String {
    match test {
        Test::Is(index, value) => format!("Test::Is({index}, {value:#x})"),
        Test::IsNot(index, value) => format!("Test::IsNot({index}, {value:#x})"),
        Test::Within(index, mask) => format!("Test::Within({index}, {mask:#x})"),
        Test::Has(index, mask) => format!("Test::Has({index}, {mask:#x})"),
        Test::Without(index, mask) => format!("Test::Without({index}, {mask:#x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(call: &str, arguments: [u64; 6]) -> Notification {
        let number = call.parse::<Sysno>().unwrap().id();
        Notification { id: 1, number, arguments, instruction: 0x1000, thread: 7 }
    }

    #[test]
    fn lessons_are_code() {
        let mut learned = Learned::default();
        assert!(learned.to_string().contains("Nothing was learned"));
        learned.add(&made("getppid", [0; 6]), Consequence::LetThrough);
        for length in [1, 2] {
            learned.add(&made("madvise", [4096, length, 8, 0, 0, 0]), Consequence::LetThrough);
        }
        learned.add(&made("openat", [0; 6]), Consequence::Failed(2));
        learned.add(&made("ptrace", [0; 6]), Consequence::Killed);
        let lines: Vec<String> = learned.to_string().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(lines[0], ".rule(Rule::allow(\"getppid\", \"who needs it?\")) // getppid(), 1 times");
        assert_eq!(
            lines[1],
            ".rule(Rule::allow(\"madvise\", \"who needs it?\").when(Test::Is(2, 0x8))) // madvise(0x1000, 1, MADV_FREE), 2 times"
        );
        assert!(lines[2].starts_with("// openat(0, 0x0, O_RDONLY, 0o0), 1 times: failed with ENOENT"), "{}", lines[2]);
        assert!(lines[3].contains("never") || lines[3].contains("ever"), "{}", lines[3]);
    }

    #[test]
    fn a_flood_of_lessons_is_counted() {
        let mut learned = Learned::default();
        for request in 0..1000 {
            learned.add(&made("ioctl", [0, request, 0, 0, 0, 0]), Consequence::LetThrough);
        }
        assert_eq!((learned.lessons().len(), learned.more()), (LESSONS_MAX, 1000 - LESSONS_MAX as u64));
        let mut twice = learned.clone();
        twice.extend(&learned);
        assert_eq!(twice.lessons()[0].violation.count, 2);
    }
}
