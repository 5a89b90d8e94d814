//! The streams of a carrier that has none.

use std::marker::PhantomData;
use std::time::Duration;

use super::stream::{Feed, Flow};
use super::{Carrier, NoSink};
use crate::{CallError, CallFailure, Name, Reader, RecvError, RpcIndex, Text};

/// The streams of a carrier that has none: each call fails as one that cannot be sent.
#[derive(Debug)]
pub struct NoFlow<L>(CallError, PhantomData<fn(L)>);

impl<L: Carrier> NoFlow<L> {
    /// Of a call of that method.
    #[must_use]
    pub fn new(peer: Name, rpc: RpcIndex) -> Self {
        let why = CallFailure::Unsendable(Text::new("there are no streams here"));
        Self(CallError::new(peer, rpc, Duration::ZERO, why), PhantomData)
    }
}

impl<L: Carrier> Flow for NoFlow<L> {
    type Carrier = L;
    type Sink = NoSink<L>;

    fn sink(&mut self) -> NoSink<L> {
        NoSink::new()
    }

    fn next<T>(
        &mut self,
        _: &mut Option<Feed<L>>,
        _: impl FnOnce(&mut Reader<'_, L::Passed, L>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>> {
        None
    }

    fn reply<T>(self, _: impl FnOnce(&mut Reader<'_, L::Passed, L>) -> Result<T, RecvError>) -> Result<T, CallError> {
        Err(self.0)
    }
}
