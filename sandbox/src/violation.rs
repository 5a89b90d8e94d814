//! Forbidden calls as the host heard of them.

use std::fmt;

use nix::libc;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::sys::Notification;

/// How many different calls of one worker are remembered; those beyond are only counted.
pub const VIOLATIONS_MAX: usize = 32;
/// The bit that marks a call of the x32 interface.
const X32: i32 = 0x4000_0000;

/// One forbidden call, as the kernel told the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The call's name, or its number where it has none.
    pub call: String,
    /// The arguments as they were in the registers, meaningful or not.
    pub arguments: [u64; 6],
    /// Where in the worker's memory the call was made.
    pub instruction: u64,
    /// The thread that made it, as the host numbers threads.
    pub thread: u32,
    /// Whether the worker was killed for it.
    pub killed: bool,
    /// How often the worker has made this call.
    pub count: u64,
}

impl Violation {
    pub(crate) fn new(notification: &Notification, killed: bool) -> Self {
        Self {
            call: name(notification.number),
            arguments: notification.arguments,
            instruction: notification.instruction,
            thread: notification.thread,
            killed,
            count: 1,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.call)?;
        for (index, &argument) in self.arguments.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match decoded(&self.call, index, argument) {
                Some(text) => write!(f, "{comma}{text}")?,
                None => write!(f, "{comma}{argument:#x}")?,
            }
        }
        write!(f, ") at {:#x} in thread {}", self.instruction, self.thread)?;
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

    /// How many violations were not remembered, since [`VIOLATIONS_MAX`] different calls were known already.
    pub fn more(&self) -> u64 {
        self.more
    }

    pub(crate) fn add(&mut self, violation: Violation) {
        if let Some(known) = self.calls.iter_mut().find(|known| known.call == violation.call) {
            known.count = known.count.saturating_add(1);
            known.killed |= violation.killed;
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

/// The meaning of one argument, where it is a number with a name.
fn decoded(call: &str, index: usize, argument: u64) -> Option<String> {
    let number = i32::try_from(argument).ok()?;
    match (call, index) {
        ("socket" | "socketpair", 0) => Some(
            match number {
                libc::AF_UNIX => "AF_UNIX",
                libc::AF_INET => "AF_INET",
                libc::AF_INET6 => "AF_INET6",
                libc::AF_NETLINK => "AF_NETLINK",
                libc::AF_PACKET => "AF_PACKET",
                libc::AF_VSOCK => "AF_VSOCK",
                libc::AF_ALG => "AF_ALG",
                _ => return None,
            }
            .to_owned(),
        ),
        ("kill" | "tkill", 1) | ("tgkill", 2) => Signal::try_from(number).ok().map(|signal| signal.to_string()),
        ("prctl", 0) => Some(
            match number {
                libc::PR_SET_DUMPABLE => "PR_SET_DUMPABLE",
                libc::PR_SET_PDEATHSIG => "PR_SET_PDEATHSIG",
                libc::PR_SET_SECCOMP => "PR_SET_SECCOMP",
                libc::PR_SET_NO_NEW_PRIVS => "PR_SET_NO_NEW_PRIVS",
                _ => return None,
            }
            .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: i32) -> Violation {
        let arguments = [2, 1, 0, 0, 0, 0];
        Violation::new(&Notification { id: 1, number, arguments, instruction: 0x1000, thread: 7 }, false)
    }

    #[test]
    fn arguments_are_decoded() {
        let number = i32::try_from(libc::SYS_socket).unwrap();
        assert_eq!(call(number).to_string(), "socket(AF_INET, 0x1, 0x0, 0x0, 0x0, 0x0) at 0x1000 in thread 7");
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
