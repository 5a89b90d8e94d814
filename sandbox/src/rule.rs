//! One line of a policy on system calls: a call, conditions on its arguments, and what happens then.

use std::fmt;

use nix::errno::Errno;

/// A condition on one argument of a system call. All 64 bits count, so that dirty high bits never match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Argument `.0` is exactly `.1`.
    Is(u8, u64),
    /// Argument `.0` is not `.1`.
    IsNot(u8, u64),
    /// Argument `.0` has no bit outside `.1`.
    Within(u8, u64),
    /// Argument `.0` has all bits of `.1`.
    Has(u8, u64),
    /// Argument `.0` has no bit of `.1`.
    Without(u8, u64),
}

/// What a rule does to the system calls that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The kernel carries the call out.
    Allow,
    /// The call fails with this error number, silently: libraries ask for it and cope.
    Refuse(i32),
}

/// One line of a profile's policy on system calls.
///
/// Where several rules match a call, a refusal with conditions comes before what is allowed, and one without conditions after
/// it: that is the answer for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The call's name. One that this architecture lacks is left out of the filter.
    pub call: &'static str,
    /// All of these must hold.
    pub tests: Vec<Test>,
    /// What happens then.
    pub effect: Effect,
    /// Who needs it.
    pub why: &'static str,
}

impl Rule {
    /// A rule that allows `call`, whatever its arguments; see [`when`](Self::when). `why` says who needs it.
    pub fn allow(call: &'static str, why: &'static str) -> Self {
        Self { call, tests: Vec::new(), effect: Effect::Allow, why }
    }

    /// A rule that has `call` fail with the error number `errno`, without a report.
    pub fn refuse(call: &'static str, errno: i32, why: &'static str) -> Self {
        Self { call, tests: Vec::new(), effect: Effect::Refuse(errno), why }
    }

    /// The same rule for fewer calls: only if `test` holds too.
    pub fn when(mut self, test: Test) -> Self {
        self.tests.push(test);
        self
    }

    /// Whether the rule is about a call with these `arguments`.
    pub fn matches(&self, arguments: &[u64; 6]) -> bool {
        self.tests.iter().all(|test| test.holds(arguments))
    }

    /// Whether no call can ever meet all conditions.
    pub(crate) fn is_contradictory(&self) -> bool {
        let on = |index: u8| self.tests.iter().filter(move |test| test.index() == index);
        (0..ARGUMENTS).any(|index| {
            let required = on(index).fold(0, |all, test| if let Test::Has(_, mask) = test { all | mask } else { all });
            let candidate = on(index).find_map(|test| if let Test::Is(_, value) = test { Some(*value) } else { None });
            let mut arguments = [0; 6];
            arguments[usize::from(index)] = candidate.unwrap_or(required);
            // What is not to be one certain value can always be another one.
            let refuted = |test: &Test| match test {
                Test::IsNot(..) if candidate.is_none() => false,
                test => !test.holds(&arguments),
            };
            on(index).any(refuted)
        }) || self.tests.iter().any(|test| test.index() >= ARGUMENTS)
    }
}

/// How many arguments a system call has.
const ARGUMENTS: u8 = 6;

impl Test {
    /// Which argument it looks at.
    pub(crate) fn index(&self) -> u8 {
        match *self {
            Self::Is(index, _)
            | Self::IsNot(index, _)
            | Self::Within(index, _)
            | Self::Has(index, _)
            | Self::Without(index, _) => index,
        }
    }

    /// Whether the condition holds of a call's `arguments`.
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let at = |index: u8| arguments.get(usize::from(index)).copied().unwrap_or_default();
        match *self {
            Self::Is(index, value) => at(index) == value,
            Self::IsNot(index, value) => at(index) != value,
            Self::Within(index, mask) => at(index) & !mask == 0,
            Self::Has(index, mask) => at(index) & mask == mask,
            Self::Without(index, mask) => at(index) & mask == 0,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(index, value) => write!(f, "arg{index} = {value:#x}"),
            Self::IsNot(index, value) => write!(f, "arg{index} is not {value:#x}"),
            Self::Within(index, mask) => write!(f, "arg{index} within {mask:#x}"),
            Self::Has(index, mask) => write!(f, "arg{index} has {mask:#x}"),
            Self::Without(index, mask) => write!(f, "arg{index} without {mask:#x}"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.pad("allow"),
            Self::Refuse(errno) => f.pad(&format!("{:?}", Errno::from_raw(*errno))),
        }
    }
}

/// One line: effect, call, conditions, reason.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests: Vec<String> = self.tests.iter().map(Test::to_string).collect();
        write!(f, "{:<7} {:<18} {:<52} {}", self.effect, self.call, tests.join(", "), self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_seen() {
        let rule = || Rule::allow("ioctl", "a test");
        for contradictory in [
            rule().when(Test::Is(1, 5)).when(Test::Is(1, 6)),
            rule().when(Test::Is(1, 5)).when(Test::IsNot(1, 5)),
            rule().when(Test::Has(1, 4)).when(Test::Without(1, 6)),
            rule().when(Test::Has(1, 4)).when(Test::Within(1, 3)),
            rule().when(Test::Is(6, 0)),
        ] {
            assert!(contradictory.is_contradictory(), "{contradictory}");
        }
        let sound = [Test::IsNot(1, 0), Test::Within(1, 7), Test::Without(1, 2), Test::Is(2, 4)];
        assert!(!sound.into_iter().fold(rule(), Rule::when).is_contradictory());
    }
}
