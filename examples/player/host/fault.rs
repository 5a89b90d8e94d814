//! Faults that are provoked on request, to see what becomes of playing.

use std::collections::HashMap;
use std::str::FromStr;

use crate::text::counted;
use crate::worker::{AUDIO, DEMUX, VIDEO};

/// A fault of one worker: `ROLE@N`, after its Nth packet or picture; `ROLE@N:always` in each of its processes anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The worker.
    pub role: &'static str,
    /// What happens to it.
    pub kind: FaultKind,
    /// After how many packets or pieces of output; 0 is as soon as it runs.
    pub after: u64,
    /// Whether it happens again when the worker was started again.
    pub always: bool,
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is killed, from outside, without a word.
    Crash,
    /// It answers no more.
    Silence,
    /// It answers no more, and uses all the time it can get.
    Busy,
    /// It is stopped, as a debugger would.
    Stop,
}

/// A fault on a command line that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// There is no such worker.
    #[error("the workers are {DEMUX}, {AUDIO} and {VIDEO}")]
    Role,
    /// It is not said when.
    #[error("write ROLE@N, where N is a number of packets, pieces of sound or pictures: video@20")]
    After,
    /// There is nothing of that name, or it does not belong there.
    #[error("after ROLE@N there may be :always, and for a hang :stop or :busy before that")]
    Word,
}

impl Fault {
    /// A crash, as the command line writes it.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn crash(text: &str) -> Result<Self, FaultError> {
        let (fault, words) = Self::parse(text, FaultKind::Crash)?;
        match words[..] {
            [] => Ok(fault),
            ["always"] => Ok(Self { always: true, ..fault }),
            _ => Err(FaultError::Word),
        }
    }

    /// A hang, as the command line writes it.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn hang(text: &str) -> Result<Self, FaultError> {
        let (fault, words) = Self::parse(text, FaultKind::Silence)?;
        let (kind, rest) = match &words[..] {
            ["stop", rest @ ..] => (FaultKind::Stop, rest),
            ["busy", rest @ ..] => (FaultKind::Busy, rest),
            rest => (FaultKind::Silence, rest),
        };
        match rest {
            [] => Ok(Self { kind, ..fault }),
            ["always"] => Ok(Self { kind, always: true, ..fault }),
            _ => Err(FaultError::Word),
        }
    }

    /// Whether the worker must be told to misbehave.
    pub fn is_told(&self) -> bool {
        matches!(self.kind, FaultKind::Silence | FaultKind::Busy)
    }

    /// What is said if the worker only came to `count`.
    fn unreached(&self, count: u64) -> String {
        let noun = match self.role {
            DEMUX => "packet",
            VIDEO => "picture",
            _ => "piece",
        };
        let (of, verb) = (if noun == "piece" { " of sound" } else { "" }, if count == 1 { "was" } else { "were" });
        format!("{}@{} was never reached: there {verb} {}{of}", self.role, self.after, counted(count, noun))
    }

    /// The fault, and the words that follow it.
    fn parse(text: &str, kind: FaultKind) -> Result<(Self, Vec<&str>), FaultError> {
        let (role, rest) = text.split_once('@').ok_or(FaultError::After)?;
        let role = [DEMUX, AUDIO, VIDEO].into_iter().find(|known| *known == role).ok_or(FaultError::Role)?;
        let mut words = rest.split(':');
        let after = words.next().and_then(|number| u64::from_str(number).ok()).ok_or(FaultError::After)?;
        Ok((Self { role, kind, after, always: false }, words.collect()))
    }
}

/// The faults that are still to come, and how far the workers are.
#[derive(Clone, Debug)]
pub struct Faults {
    faults: Vec<Planned>,
    counts: HashMap<&'static str, u64>,
    /// The highest that each count has been, for it begins anew with each process.
    most: HashMap<&'static str, u64>,
}

#[derive(Clone, Debug)]
struct Planned {
    fault: Fault,
    /// Whether it is not due any more.
    done: bool,
    /// Whether it has ever been due.
    reached: bool,
}

impl Faults {
    /// For these faults.
    pub fn new(faults: &[Fault]) -> Self {
        let planned = |fault: &Fault| Planned { fault: fault.clone(), done: false, reached: false };
        Self { faults: faults.iter().map(planned).collect(), counts: HashMap::new(), most: HashMap::new() }
    }

    /// A process of this role has started. Returns a fault that is due.
    pub fn started(&mut self, role: &'static str) -> Option<Fault> {
        self.counts.insert(role, 0);
        for planned in self.faults.iter_mut().filter(|planned| planned.fault.role == role && planned.fault.always) {
            planned.done = false;
        }
        self.due(role)
    }

    /// The worker has handed on a packet, a picture or a piece of sound. Returns a fault that is due.
    pub fn count(&mut self, role: &'static str) -> Option<Fault> {
        let count = self.counts.entry(role).or_default();
        *count += 1;
        let most = self.most.entry(role).or_default();
        *most = (*most).max(*count);
        self.due(role)
    }

    /// What is said of faults that never were due.
    pub fn unreached(&self) -> Vec<String> {
        let unreached = self.faults.iter().filter(|planned| !planned.reached).map(|planned| &planned.fault);
        unreached.map(|fault| fault.unreached(self.most.get(fault.role).copied().unwrap_or_default())).collect()
    }

    fn due(&mut self, role: &'static str) -> Option<Fault> {
        let count = self.counts.get(role).copied().unwrap_or_default();
        let due = |fault: &Fault| fault.role == role && fault.after == count;
        let planned = self.faults.iter_mut().find(|planned| !planned.done && due(&planned.fault))?;
        (planned.done, planned.reached) = (true, true);
        Some(planned.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_the_command_line_does() {
        let fault = |role, kind, after, always| Fault { role, kind, after, always };
        assert_eq!(Fault::crash("video@24"), Ok(fault(VIDEO, FaultKind::Crash, 24, false)));
        assert_eq!(Fault::crash("demux@0:always"), Ok(fault(DEMUX, FaultKind::Crash, 0, true)));
        assert_eq!(Fault::hang("audio@3"), Ok(fault(AUDIO, FaultKind::Silence, 3, false)));
        assert_eq!(Fault::hang("audio@3:busy:always"), Ok(fault(AUDIO, FaultKind::Busy, 3, true)));
        assert_eq!(Fault::hang("audio@3:stop"), Ok(fault(AUDIO, FaultKind::Stop, 3, false)));
        assert_eq!(Fault::crash("screen@1"), Err(FaultError::Role));
        assert_eq!(Fault::crash("video"), Err(FaultError::After));
        assert_eq!(Fault::crash("video@soon"), Err(FaultError::After));
        assert_eq!(Fault::crash("video@1:stop"), Err(FaultError::Word));
        for wrong in ["dance", "stop:busy", "busy:busy", "always:stop", "always:always", "stop:always:busy", ""] {
            assert_eq!(Fault::hang(&format!("video@1:{wrong}")), Err(FaultError::Word), "{wrong}");
        }
        assert_eq!(Fault::crash("video@1:always:always"), Err(FaultError::Word));
    }

    #[test]
    fn faults_that_never_happened_are_told() {
        let plan = ["video@2", "video@9:always", "audio@7", "demux@3"].map(|text| Fault::crash(text).expect("a fault"));
        let mut faults = Faults::new(&plan);
        for (role, count) in [(VIDEO, 3), (VIDEO, 2), (AUDIO, 1)] {
            faults.started(role);
            for _ in 0..count {
                faults.count(role);
            }
        }
        assert_eq!(
            faults.unreached(),
            [
                "video@9 was never reached: there were 3 pictures",
                "audio@7 was never reached: there was 1 piece of sound",
                "demux@3 was never reached: there were 0 packets",
            ]
        );
    }

    #[test]
    fn a_fault_happens_once_unless_it_happens_always() {
        let mut faults =
            Faults::new(&[Fault::crash("video@2").expect("a fault"), Fault::crash("audio@1:always").expect("a fault")]);
        assert_eq!(faults.started(VIDEO), None);
        assert_eq!(faults.count(VIDEO), None);
        assert!(faults.count(VIDEO).is_some());
        assert_eq!(faults.count(VIDEO), None);
        assert_eq!(faults.started(VIDEO), None);
        assert!((0..5).all(|_| faults.count(VIDEO).is_none()));
        for _ in 0..3 {
            assert_eq!(faults.started(AUDIO), None);
            assert!(faults.count(AUDIO).is_some());
            assert_eq!(faults.count(AUDIO), None);
        }
    }
}
