//! Objects in the caller's own process.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::serve::{Dispatch, Server};
use super::stream::Flows;
use super::{Carrier, Offer, Pending, Poll, Retry, Stub};
use crate::{
    AppendError, CallError, CallFailure, Descriptor, Destination, Failure, Gone, Message, Name, Reader, RecvError,
    Rights, RpcIndex, Streams, Transfer,
};

mod stream;

pub use stream::{HereFlow, HereSink};

/// Makes objects of this process callable as if they were in another: for stages that run in the caller's process and whose
/// contracts take or give links. Each call is served at once, by a function call; its arguments and its answer are written
/// and read as always. `D` is how descriptors are passed. Nothing is checked against rights: whoever is in this process has
/// its trust.
///
/// ```
/// # use cloison_msg::contract::Here;
/// # use cloison_msg::{Answer, interface};
/// # use std::cell::Cell;
/// #[interface]
/// trait Counter {
///     fn add(&self, by: u32) -> Answer<u32>;
/// }
/// #[derive(Default)]
/// struct Count(Cell<u32>);
/// impl Counter for Count {
///     fn add(&self, by: u32) -> Answer<u32> {
///         self.0.set(self.0.get() + by);
///         Ok(self.0.get())
///     }
/// }
/// # #[derive(Debug)]
/// # struct Passed;
/// # impl cloison_msg::Descriptor for Passed {
/// #     fn class(&self) -> cloison_msg::DescriptorClasses { cloison_msg::DescriptorClasses::empty() }
/// # }
/// let here = Here::<Passed>::new();
/// let counter = CounterClient::offer(&here, Count::default()).unwrap();
/// assert_eq!(counter.add(41), Ok(41));
/// ```
pub struct Here<D: Descriptor + 'static>(Rc<Table<D>>);

struct Table<D: Descriptor + 'static> {
    /// Links that a message carries which is being served or answered at this moment.
    carried: RefCell<Vec<HereLink<D>>>,
    made: Cell<u32>,
}

/// A link to an object of this process. The object ends when the last of them is dropped.
pub struct HereLink<D: Descriptor + 'static> {
    table: Rc<Table<D>>,
    object: Rc<Serving<D>>,
    name: Destination,
}

type Serving<D> =
    dyn Fn(RpcIndex, &mut Reader<'_, D, HereLink<D>>, &mut Message<D>, &mut Flows<HereLink<D>>) -> Result<(), Failure>;

/// A call of an object of this process: it has been served.
pub struct Served<D: Descriptor + 'static> {
    rpc: RpcIndex,
    reply: Result<(Message<D>, Vec<HereLink<D>>), CallFailure>,
}

impl<D: Descriptor + 'static> Here<D> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(Table { carried: RefCell::default(), made: Cell::new(0) }))
    }
}

impl<D: Descriptor + 'static> Offer for Here<D> {
    type Carrier = HereLink<D>;

    fn offer_stub<M: Dispatch<HereLink<D>> + 'static>(
        &self,
        server: Server<M>,
    ) -> Result<Stub<HereLink<D>>, CallError> {
        let methods = u16::try_from(server.contract().methods().len()).unwrap_or(u16::MAX);
        let index = self.0.made.get().wrapping_add(1);
        self.0.made.set(index);
        let object =
            move |rpc,
                  request: &mut Reader<'_, D, HereLink<D>>,
                  reply: &mut Message<D>,
                  flows: &mut Flows<HereLink<D>>| server.answer(rpc, request, reply, flows);
        let name = Destination { index, generation: 1 };
        let link = HereLink { table: Rc::clone(&self.0), object: Rc::new(object), name };
        Ok(Stub::new(link, methods))
    }
}

impl<D: Descriptor + 'static> HereLink<D> {
    fn serve(
        &self,
        rpc: RpcIndex,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> Result<(Message<D>, Vec<Self>), CallFailure> {
        let mut message = Message::new();
        let built = build(&mut message);
        let links = self.table.carried.take();
        built.map_err(|error| CallFailure::Unsendable(error.to_string().into()))?;
        let descriptors = message.take_descriptors();
        let mut reader = Reader::new(message.payload(), descriptors).with_links(links);
        let mut reply = Message::new();
        let served = (self.object)(rpc, &mut reader, &mut reply, &mut Flows::new(None));
        let links = self.table.carried.take();
        served.map(|()| (reply, links)).map_err(CallFailure::Failed)
    }
}

impl<D: Descriptor + 'static> Carrier for HereLink<D> {
    type Sent = D;
    type Passed = D;
    type Pending = Served<D>;
    type Flow = HereFlow<D>;

    /// Nobody waits: each call is over when it has begun.
    const DEADLINE: Duration = crate::DEADLINE_MAX;

    fn peer_role(&self) -> Name {
        Name::new("here").expect("a constant that is a name")
    }

    fn put_into(&self, message: &mut Message<D>, transfer: Transfer, rights: &Rights) -> Result<(), AppendError> {
        match transfer {
            Transfer::Copy => message.append_link(&self.name, rights)?,
            Transfer::Move => message.move_link(&self.name, rights)?,
        };
        self.table.carried.borrow_mut().push(self.clone());
        Ok(())
    }

    fn call<T>(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
        read: impl FnOnce(&mut Reader<'_, D, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        self.start(rpc, within, build).wait(read)
    }

    fn start(
        &self,
        rpc: RpcIndex,
        _: Option<Duration>,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> Served<D> {
        Served { rpc, reply: self.serve(rpc, build) }
    }

    fn stream(
        &self,
        rpc: RpcIndex,
        _: Option<Duration>,
        _: Streams,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> HereFlow<D> {
        HereFlow::new(self, rpc, build)
    }

    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        self.start_oneway(rpc, within, build).wait(|_| Ok(()))
    }

    /// What a oneway's server says is dropped, as it is elsewhere.
    fn start_oneway(
        &self,
        rpc: RpcIndex,
        _: Option<Duration>,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> Served<D> {
        let reply = match self.serve(rpc, build) {
            Err(why @ CallFailure::Unsendable(_)) => Err(why),
            _ => Ok((Message::new(), Vec::new())),
        };
        Served { rpc, reply }
    }
}

impl<D: Descriptor + 'static> Pending for Served<D> {
    type Passed = D;
    type Link = HereLink<D>;

    /// No link of these was opened by a role, so none is opened again.
    fn retry(retry: Retry<HereLink<D>>) -> Self {
        Self { rpc: retry.rpc(), reply: Err(CallFailure::Gone(Gone::Closed)) }
    }

    fn detach(self) {}

    fn wait<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, D, HereLink<D>>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let fail = |why| {
            let peer = Name::new("here").expect("a constant that is a name");
            CallError::new(peer, self.rpc, Duration::ZERO, why)
        };
        let (mut reply, links) = self.reply.map_err(fail)?;
        let descriptors = reply.take_descriptors();
        let mut reader = Reader::new(reply.payload(), descriptors).with_links(links);
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        value.map_err(|error| fail(CallFailure::Unreadable(error.to_string().into())))
    }

    fn wait_any(_: &mut [Self]) -> usize {
        0
    }
}

impl<D: Descriptor + 'static> Poll for Served<D>
where
    D: Unpin,
{
    fn poll_done(&mut self, _: &mut Context<'_>) -> bool {
        true
    }
}

impl<D: Descriptor + 'static> Default for Here<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Descriptor + 'static> Clone for Here<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Descriptor + 'static> Clone for HereLink<D> {
    fn clone(&self) -> Self {
        let (table, object) = (Rc::clone(&self.table), Rc::clone(&self.object));
        Self { table, object, name: self.name }
    }
}

impl<D: Descriptor + 'static> fmt::Debug for Here<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").field("made", &self.0.made.get()).finish_non_exhaustive()
    }
}

impl<D: Descriptor + 'static> fmt::Debug for HereLink<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HereLink({})", self.name)
    }
}

impl<D: Descriptor + 'static> fmt::Debug for Served<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("rpc", &self.rpc).finish_non_exhaustive()
    }
}
