//! Forbidden calls as the host heard of them.

use std::fmt;

use syscalls::Sysno;

use crate::decode;
use crate::note::Note;
use crate::sys::Notification;

/// How many different calls of one worker are remembered; those beyond are only counted.
pub const VIOLATIONS_MAX: usize = 32;
/// The bit that marks a call of the x32 interface.
const X32: i32 = 0x4000_0000;

/// What became of a forbidden call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consequence {
    /// It failed with this error number.
    Failed(i32),
    /// The worker was killed for it.
    Killed,
    /// It was let through, since the worker only learns ([`Profile::learning`](crate::Profile::learning)).
    LetThrough,
}

/// One forbidden call, as the kernel told the host. The worker can neither forge nor hide it, but for what it notes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The call's name, or its number where it has none.
    pub call: String,
    /// The arguments as they were in the registers, meaningful or not; `{}` names what has a name.
    pub arguments: [u64; 6],
    /// Where in the worker's memory the call was made.
    pub instruction: u64,
    /// The thread that made it, as the host numbers threads.
    pub thread: u32,
    /// What became of it.
    pub consequence: Consequence,
    /// How often the worker has made this call.
    pub count: u64,
    /// What the worker said it was busy with when it made the call the first time. All else here comes from the kernel; this
    /// comes from the worker, which may lie.
    pub note: Option<Note>,
    /// What `note` means, in the words of a host that knows; this crate does not.
    pub during: Option<String>,
}

impl Violation {
    pub(crate) fn new(notification: &Notification, consequence: Consequence) -> Self {
        Self {
            call: name(notification.number),
            arguments: notification.arguments,
            instruction: notification.instruction,
            thread: notification.thread,
            consequence,
            count: 1,
            note: None,
            during: None,
        }
    }

    /// Whether the worker was killed for it.
    pub fn killed(&self) -> bool {
        self.consequence == Consequence::Killed
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = decode::arguments(&self.call, &self.arguments);
        write!(f, "{}({arguments}) at {:#x} in thread {}", self.call, self.instruction, self.thread)?;
        if let Some(during) = &self.during {
            write!(f, ", while it said it was busy with {during}")?;
        }
        if self.count > 1 { write!(f, ", {} times", self.count) } else { Ok(()) }
    }
}

/// The violations of one worker: each call once, with the arguments of its first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    calls: Vec<Violation>,
    more: u64,
}

impl Violations {
    /// The calls, in the order in which they first came.
    pub fn calls(&self) -> &[Violation] {
        &self.calls
    }

    /// The same, for a host that has something to say about them.
    pub fn calls_mut(&mut self) -> &mut [Violation] {
        &mut self.calls
    }

    /// How many violations were not remembered, since [`VIOLATIONS_MAX`] different calls were known already.
    pub fn more(&self) -> u64 {
        self.more
    }

    pub(crate) fn add(&mut self, violation: Violation) {
        if let Some(known) = self.calls.iter_mut().find(|known| known.call == violation.call) {
            known.count = known.count.saturating_add(1);
            if violation.killed() {
                known.consequence = Consequence::Killed;
            }
        } else if self.calls.len() < VIOLATIONS_MAX {
            self.calls.push(violation);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// A call's name; for one that this processor's table lacks, its number.
pub(crate) fn name(number: i32) -> String {
    let known = |number: i32| usize::try_from(number).ok().and_then(Sysno::new);
    match known(number) {
        Some(call) => call.name().to_owned(),
        None if number >= X32 => match known(number ^ X32) {
            Some(call) => format!("x32 {}", call.name()),
            None => format!("x32 number {}", number ^ X32),
        },
        None => format!("number {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    fn call(number: i32) -> Violation {
        let arguments = [2, 1, 0, 0, 0, 0];
        Violation::new(
            &Notification { id: 1, number, arguments, instruction: 0x1000, thread: 7 },
            Consequence::Failed(libc::EPERM),
        )
    }

    #[test]
    fn arguments_are_decoded() {
        let number = i32::try_from(libc::SYS_socket).unwrap();
        let mut violation = call(number);
        assert_eq!(violation.to_string(), "socket(AF_INET, SOCK_STREAM, 0) at 0x1000 in thread 7");
        violation.during = Some("packet 7".to_owned());
        violation.count = 3;
        assert!(
            violation.to_string().ends_with("in thread 7, while it said it was busy with packet 7, 3 times"),
            "{violation}"
        );
    }

    #[test]
    fn every_call_is_listed_once_and_a_flood_is_counted() {
        let mut violations = Violations::default();
        (0..1000).for_each(|_| violations.add(call(-1)));
        assert_eq!(violations.calls().len(), 1);
        assert_eq!(violations.calls()[0].count, 1000);
        (5000..6000).for_each(|number| violations.add(call(number)));
        assert_eq!(violations.calls().len(), VIOLATIONS_MAX);
        assert_eq!(violations.more(), 1001 - 32);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn other_interfaces_have_names_too() {
        assert_eq!(name(X32 | 39), "x32 getpid");
        assert_eq!(name(4000), "number 4000");
    }
}
