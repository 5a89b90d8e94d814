//! A carrier that is a function call: what is sent is served at once, or when it is waited for.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::contract::{Carrier, Dispatch, Flows, NoFlow, Pending, Retry, Server};
use cloison_msg::{
    AppendError, CallError, CallFailure, Descriptor, DescriptorClasses, Failure, Gone, Message, Name, Reader,
    RecvError, Rights, RpcIndex, Streams, Transfer,
};

/// A descriptor that is a number.
#[derive(Debug, PartialEq)]
pub struct Passed {
    pub number: u8,
    pub class: DescriptorClasses,
}

impl Descriptor for Passed {
    fn class(&self) -> DescriptorClasses {
        self.class
    }
}

/// What a test sees, and changes, of what travels.
#[derive(Default)]
pub struct Wire {
    /// The deadline of the last call.
    pub within: Cell<Option<Duration>>,
    /// Whether of several calls the last is answered first.
    pub newest_first: Cell<bool>,
    /// Where the last request's payload lay.
    pub request: RefCell<Range<usize>>,
    /// Where the last reply's did.
    pub reply: RefCell<Range<usize>>,
    /// How many of the next calls end with their server, and how long after they began.
    pub deaths: Cell<(u32, Duration)>,
    /// How many of those that were served were said to be made again.
    pub retries: Cell<u32>,
    failure: RefCell<Option<Failure>>,
    forged: RefCell<Option<Vec<u8>>>,
}

impl Wire {
    pub fn fail_next(&self, failure: Failure) {
        self.failure.replace(Some(failure));
    }

    pub fn reply_next(&self, payload: &[u8]) {
        self.forged.replace(Some(payload.to_vec()));
    }
}

fn place(payload: &[u8]) -> Range<usize> {
    let start = payload.as_ptr() as usize;
    start..start + payload.len()
}

type Serving = dyn Fn(RpcIndex, &mut Message<Passed>) -> Result<Message<Passed>, Failure>;

#[derive(Clone)]
pub struct Loopback {
    wire: Rc<Wire>,
    serve: Rc<Serving>,
}

pub struct Sent {
    link: Loopback,
    rpc: RpcIndex,
    message: Result<Message<Passed>, CallError>,
}

impl Loopback {
    pub fn new<M: Dispatch<Self> + 'static>(server: Server<M>, wire: Rc<Wire>) -> Self {
        let noting = Rc::clone(&wire);
        let serve = move |rpc, message: &mut Message<Passed>| {
            let descriptors = message.take_descriptors();
            noting.request.replace(place(message.payload()));
            noting.retries.set(noting.retries.get() + u32::from(message.is_retry()));
            let mut reply = Message::new();
            let mut request = Reader::new(message.payload(), descriptors).with_links(Vec::<Self>::new());
            server.answer(rpc, &mut request, &mut reply, &mut Flows::new(None))?;
            Ok(reply)
        };
        Self { wire, serve: Rc::new(serve) }
    }

    fn build(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
    ) -> Sent {
        self.wire.within.set(within);
        let mut message = Message::new();
        let built = build(&mut message).map_err(|error| failed(rpc, CallFailure::Unsendable(error.to_string().into())));
        Sent { link: self.clone(), rpc, message: built.map(|()| message) }
    }
}

fn failed(rpc: RpcIndex, why: CallFailure) -> CallError {
    CallError::new(Name::new("loopback").expect("it is a name"), rpc, Duration::ZERO, why)
}

impl Pending for Sent {
    type Passed = Passed;
    type Link = Loopback;

    fn retry(retry: Retry<Loopback>) -> Self {
        let link = retry.reopened().unwrap_or_else(|| {
            let link = retry.former();
            assert!(retry.renew(&link, 9).is_none(), "nobody else is here");
            link
        });
        link.build(retry.rpc(), Some(retry.within()), |message| retry.build(message))
    }

    fn detach(self) {}

    fn wait<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, Passed, Loopback>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let fail = |why| failed(self.rpc, why);
        let mut message = self.message?;
        let (deaths, after) = self.link.wire.deaths.get();
        if deaths > 0 {
            self.link.wire.deaths.set((deaths - 1, after));
            return Err(CallError { after, ..fail(Gone::Crashed("signal 9".into()).into()) });
        }
        if let Some(failure) = self.link.wire.failure.take() {
            return Err(fail(failure.into()));
        }
        let mut reply = (self.link.serve)(self.rpc, &mut message).map_err(|failure| fail(failure.into()))?;
        let descriptors = reply.take_descriptors();
        let payload = self.link.wire.forged.take().unwrap_or_else(|| reply.payload().to_vec());
        self.link.wire.reply.replace(place(&payload));
        let mut reader = Reader::new(&payload, descriptors).with_links(Vec::new());
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        value.map_err(|error| fail(CallFailure::Unreadable(error.to_string().into())))
    }

    fn wait_any(pending: &mut [Self]) -> usize {
        if pending[0].link.wire.newest_first.get() { pending.len() - 1 } else { 0 }
    }
}

impl Carrier for Loopback {
    type Sent = Passed;
    type Passed = Passed;
    type Pending = Sent;
    type Flow = NoFlow<Self>;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn stream(
        &self,
        rpc: RpcIndex,
        _: Option<Duration>,
        _: Streams,
        _: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
    ) -> NoFlow<Self> {
        NoFlow::new(self.peer_role(), rpc)
    }

    fn peer_role(&self) -> Name {
        Name::new("loopback").expect("it is a name")
    }

    fn put_into(&self, _: &mut Message<Passed>, _: Transfer, _: &Rights) -> Result<(), AppendError> {
        Err(AppendError::TooManyLinks)
    }

    fn call<T>(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
        read: impl FnOnce(&mut Reader<'_, Passed, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        self.build(rpc, within, build).wait(read)
    }

    fn start(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
    ) -> Sent {
        self.build(rpc, within, build)
    }

    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        self.build(rpc, within, build).wait(|_| Ok(()))
    }

    fn start_oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Passed>) -> Result<(), AppendError>,
    ) -> Sent {
        self.build(rpc, within, build)
    }
}
