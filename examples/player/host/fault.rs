//! Faults that are provoked on request, to see what becomes of playing.

use std::str::FromStr;

use cloison_broker::msg::Interface;

use crate::protocol::{DECODER, DEMUX};
use crate::worker::{AUDIO, DEMUX as DEMUXER, VIDEO};

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
    #[error("the workers are {DEMUXER}, {AUDIO} and {VIDEO}")]
    Role,
    /// It is not said when.
    #[error("write ROLE@N, where N is a number of packets, pieces of sound or pictures: video@20")]
    After,
    /// There is nothing of that name.
    #[error("after ROLE@N there may be :always, and for a hang also :stop or :busy")]
    Word,
}

impl Fault {
    /// A crash, as the command line writes it.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn crash(text: &str) -> Result<Self, FaultError> {
        let (mut fault, words) = Self::parse(text, FaultKind::Crash)?;
        for word in words {
            fault.always |= word == "always";
            if word != "always" {
                return Err(FaultError::Word);
            }
        }
        Ok(fault)
    }

    /// A hang, as the command line writes it.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn hang(text: &str) -> Result<Self, FaultError> {
        let (mut fault, words) = Self::parse(text, FaultKind::Silence)?;
        for word in words {
            match word {
                "always" => fault.always = true,
                "stop" => fault.kind = FaultKind::Stop,
                "busy" => fault.kind = FaultKind::Busy,
                _ => return Err(FaultError::Word),
            }
        }
        Ok(fault)
    }

    /// The interface by which the worker is told to misbehave.
    pub fn interface(&self) -> &'static Interface {
        if self.role == DEMUXER { &DEMUX } else { &DECODER }
    }

    /// Whether the worker must be told to misbehave.
    pub fn is_told(&self) -> bool {
        matches!(self.kind, FaultKind::Silence | FaultKind::Busy)
    }

    fn parse(text: &str, kind: FaultKind) -> Result<(Self, impl Iterator<Item = &str>), FaultError> {
        let (role, rest) = text.split_once('@').ok_or(FaultError::After)?;
        let role = [DEMUXER, AUDIO, VIDEO].into_iter().find(|known| *known == role).ok_or(FaultError::Role)?;
        let mut words = rest.split(':');
        let after = words.next().and_then(|number| u64::from_str(number).ok()).ok_or(FaultError::After)?;
        Ok((Self { role, kind, after, always: false }, words))
    }
}

/// The faults that are still to come, and how far the workers are.
#[derive(Clone, Debug)]
pub struct Faults {
    faults: Vec<(Fault, bool)>,
    counts: std::collections::HashMap<&'static str, u64>,
}

impl Faults {
    /// For these faults.
    pub fn new(faults: &[Fault]) -> Self {
        Self { faults: faults.iter().map(|fault| (fault.clone(), false)).collect(), counts: Default::default() }
    }

    /// A process of this role has started. Returns a fault that is due.
    pub fn started(&mut self, role: &'static str) -> Option<Fault> {
        self.counts.insert(role, 0);
        for (fault, done) in self.faults.iter_mut().filter(|(fault, _)| fault.role == role && fault.always) {
            *done &= !fault.always;
        }
        self.due(role)
    }

    /// The worker has handed on a packet, a picture or a piece of sound. Returns a fault that is due.
    pub fn count(&mut self, role: &'static str) -> Option<Fault> {
        *self.counts.entry(role).or_default() += 1;
        self.due(role)
    }

    fn due(&mut self, role: &'static str) -> Option<Fault> {
        let count = self.counts.get(role).copied().unwrap_or_default();
        let due = |fault: &Fault| fault.role == role && fault.after == count;
        let (fault, done) = self.faults.iter_mut().find(|(fault, done)| !done && due(fault))?;
        *done = true;
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_the_command_line_does() {
        let fault = |role, kind, after, always| Fault { role, kind, after, always };
        assert_eq!(Fault::crash("video@24"), Ok(fault(VIDEO, FaultKind::Crash, 24, false)));
        assert_eq!(Fault::crash("demux@0:always"), Ok(fault(DEMUXER, FaultKind::Crash, 0, true)));
        assert_eq!(Fault::hang("audio@3"), Ok(fault(AUDIO, FaultKind::Silence, 3, false)));
        assert_eq!(Fault::hang("audio@3:busy:always"), Ok(fault(AUDIO, FaultKind::Busy, 3, true)));
        assert_eq!(Fault::hang("audio@3:stop"), Ok(fault(AUDIO, FaultKind::Stop, 3, false)));
        assert_eq!(Fault::crash("screen@1"), Err(FaultError::Role));
        assert_eq!(Fault::crash("video"), Err(FaultError::After));
        assert_eq!(Fault::crash("video@soon"), Err(FaultError::After));
        assert_eq!(Fault::crash("video@1:stop"), Err(FaultError::Word));
        assert_eq!(Fault::hang("video@1:dance"), Err(FaultError::Word));
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
