//! What a carrier does with streams: it moves their items, and knows nothing of their types.

use std::fmt;
use std::task::{Context, Poll as Progress};

use super::Packet;
use crate::contract::Carrier;
use crate::contract::feeder::Sink;
use crate::{AppendError, CallError, Failure, Message, Reader, RecvError};

/// A call with streams that was begun, as a carrier makes it. Dropped before its end, it is given up.
pub trait Flow: Sized {
    /// What it was made through.
    type Carrier: Carrier;
    /// Where the items go that it is fed.
    type Sink: Sink<Carrier = Self::Carrier>;

    /// Where the items go that it is fed, if no `feed` is pulled; to be asked for once, before it is waited for.
    fn sink(&mut self) -> Self::Sink;

    /// Waits for the next item and reads it; `None` when the call is over and only its [reply](Self::reply) is left. Meanwhile
    /// `feed` is pulled, and what it gives is sent, as far as there is credit.
    fn next<T>(
        &mut self,
        feed: &mut Option<Feed<Self::Carrier>>,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>>;

    /// Reads the reply of a call that is over.
    ///
    /// # Errors
    /// [`CallError`].
    fn reply<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Result<T, CallError>;
}

/// A call with streams that was begun where there is an executor.
pub trait PollFlow: Flow {
    /// The same as [`next`](Flow::next), of a call that is fed nothing: if there is no item yet, `context` is woken when there
    /// is.
    fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Progress<Option<Result<T, CallError>>>;

    /// There was no item yet, and whoever waited for one does so no longer: it has time.
    fn stop_waiting(&mut self);
}

/// Writes the next of the items that a call is fed.
pub type Feed<L> = Box<dyn FnMut(&mut Message<<L as Carrier>::Sent>) -> Fed>;

/// What became of the next item to be fed.
#[derive(Debug)]
pub enum Fed {
    /// It was written.
    Item(Packet),
    /// There is none: all were.
    End,
    /// There is none, since whoever was to give it failed.
    Broken(CallError),
    /// It cannot be written.
    Unsendable(AppendError),
}

/// Reads one item.
pub type ReadOne<'t, L> = &'t mut dyn FnMut(&mut Reader<'_, <L as Carrier>::Passed, L>) -> Result<(), RecvError>;

/// Takes the next of the items that the caller of what is served feeds, and has it read; `None` when all have been taken.
pub type Intake<L> = Box<dyn for<'t> FnMut(ReadOne<'t, L>) -> Option<Result<(), CallError>>>;

/// Writes the next of the items of what is served, or its reply.
pub type Output<L> = Box<dyn FnMut(&mut Message<<L as Carrier>::Sent>) -> Produced>;

/// What an [`Output`] has written.
#[derive(Debug)]
pub enum Produced {
    /// An item; there may be more.
    Item(Packet),
    /// Nothing: what the next item needs is in use. It is to be asked again when something has arrived.
    NotYet,
    /// The reply, or nothing, because of a failure: there are no more.
    End(Result<(), Failure>),
}

/// The streams of a call that is served.
pub struct Flows<L: Carrier> {
    /// What its caller feeds; taken by the implementation if it takes a stream.
    pub intake: Option<Intake<L>>,
    /// What the implementation gives, if that is a stream. The call is answered when it has ended.
    pub output: Option<Output<L>>,
}

impl<L: Carrier> Flows<L> {
    /// Of a call whose caller feeds this, or nothing.
    #[must_use]
    pub const fn new(intake: Option<Intake<L>>) -> Self {
        Self { intake, output: None }
    }
}

impl<L: Carrier> fmt::Debug for Flows<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").field("fed", &self.intake.is_some()).finish_non_exhaustive()
    }
}
