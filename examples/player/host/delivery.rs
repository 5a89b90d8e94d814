//! What the decoders deliver is checked here, and nothing in it is believed.

use cloison_broker::Incoming;
use cloison_broker::ipc::BufferRef;
use cloison_broker::msg::RecvError;

use super::conductor::Conductor;
use super::crew::ROLES;
use crate::play::PlayError;
use crate::protocol::{Picture, Samples, sink};
use crate::sink::OutputError;

/// Why a delivery was not taken.
enum Undeliverable {
    /// The decoder breaks the contract.
    Malformed(String),
    Output(OutputError),
}

impl Conductor<'_> {
    /// A decoder delivers something.
    pub(super) fn take(&mut self, mut incoming: Incoming) -> Result<(), PlayError> {
        let Some(role) = ROLES.into_iter().find(|role| incoming.peer().as_str() == *role) else { return Ok(()) };
        let taken = match incoming.rpc() {
            sink::PICTURE => self.take_picture(&mut incoming),
            sink::SAMPLES => self.take_samples(&mut incoming),
            _ => read(&mut incoming).map(|round: u32| self.take_end(role, round)).map_err(Undeliverable::from),
        };
        match taken {
            Ok(true) => self.brought_something(role),
            Ok(false) => {}
            Err(Undeliverable::Output(error)) => return Err(error.into()),
            Err(Undeliverable::Malformed(why)) => self.kill(role, &why),
        }
        if incoming.rpc() != sink::END {
            let due = self.faults.count(role);
            self.provoke(due);
        }
        self.conclude()
    }

    fn take_picture(&mut self, incoming: &mut Incoming) -> Result<bool, Undeliverable> {
        let (picture, reference) = read::<(Picture, BufferRef)>(incoming)?;
        let buffer = incoming.borrow(reference).map_err(|error| Undeliverable::Malformed(error.to_string()))?;
        if !picture.layout.is_possible() || picture.layout.bytes() != buffer.len() {
            return Err(Undeliverable::Malformed("its picture is not what it says".to_owned()));
        }
        let Some(playback) = &mut self.playback else { return Ok(false) };
        playback.picture(&picture, &buffer).map_err(Undeliverable::Output)
    }

    fn take_samples(&mut self, incoming: &mut Incoming) -> Result<bool, Undeliverable> {
        let samples: Samples = read(incoming)?;
        if !samples.is_playable() {
            return Err(Undeliverable::Malformed("its samples are not what it says".to_owned()));
        }
        let Some(playback) = &mut self.playback else { return Ok(false) };
        playback.samples(samples).map_err(Undeliverable::Output)
    }

    fn take_end(&mut self, role: &'static str, round: u32) -> bool {
        if round == self.round {
            self.ended.insert(role);
        }
        false
    }
}

/// The one value of a message.
pub(super) fn read<T: serde::de::DeserializeOwned>(incoming: &mut Incoming) -> Result<T, RecvError> {
    let mut reader = incoming.reader();
    let value = reader.recv()?;
    reader.finish()?;
    Ok(value)
}

impl From<RecvError> for Undeliverable {
    fn from(error: RecvError) -> Self {
        Self::Malformed(format!("its message makes no sense: {error}"))
    }
}
