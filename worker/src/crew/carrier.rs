//! The links of what is served on a thread: there are none.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::contract::{Carrier, NoFlow, Pending, Retry};
use cloison_msg::{AppendError, CallError, Message, Name, Reader, RecvError, Rights, RpcIndex, Streams, Transfer};

use crate::worker::DEFAULT_DEADLINE;

/// A link of what is served on a thread. There is none, so that a contract whose methods take or give links can be
/// implemented for it, and such a method never called.
#[derive(Clone, Copy, Debug)]
pub enum ThreadLink {}

impl Carrier for ThreadLink {
    type Sent = OwnedFd;
    type Passed = Passed;
    type Pending = Self;
    type Flow = NoFlow<Self>;

    const DEADLINE: Duration = DEFAULT_DEADLINE;

    fn peer_role(&self) -> Name {
        match *self {}
    }

    fn put_into(&self, _: &mut Message<OwnedFd>, _: Transfer, _: &Rights) -> Result<(), AppendError> {
        match *self {}
    }

    fn call<T>(
        &self,
        _: RpcIndex,
        _: Option<Duration>,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
        _: impl FnOnce(&mut Reader<'_, Passed, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        match *self {}
    }

    fn start(
        &self,
        _: RpcIndex,
        _: Option<Duration>,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Self {
        match *self {}
    }

    fn stream(
        &self,
        _: RpcIndex,
        _: Option<Duration>,
        _: Streams,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> NoFlow<Self> {
        match *self {}
    }

    fn oneway(
        &self,
        _: RpcIndex,
        _: Option<Duration>,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        match *self {}
    }

    fn start_oneway(
        &self,
        _: RpcIndex,
        _: Option<Duration>,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Self {
        match *self {}
    }
}

impl Pending for ThreadLink {
    type Passed = Passed;
    type Link = Self;

    fn retry(retry: Retry<Self>) -> Self {
        match retry.former() {}
    }

    fn wait<T>(self, _: impl FnOnce(&mut Reader<'_, Passed, Self>) -> Result<T, RecvError>) -> Result<T, CallError> {
        match self {}
    }

    fn wait_any(_: &mut [Self]) -> usize {
        0
    }
}
