//! Streams of objects in the caller's own process.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll as Progress};

use super::HereLink;
use crate::contract::feeder::{FeedError, Sink};
use crate::contract::stream::{Fed, Feed, Flow, Flows, Intake, Output, Packet, PollFlow, Produced};
use crate::{AppendError, CallError, CallFailure, Descriptor, Message, Name, Reader, RecvError, RpcIndex};

/// A call with streams of an object of this process. It is served when its first item is wanted.
pub struct HereFlow<D: Descriptor + 'static> {
    link: HereLink<D>,
    rpc: RpcIndex,
    stage: Stage<D>,
    kept: Option<Kept<D>>,
}

/// What is fed to a call of an object of this process: it is kept until the call is waited for.
pub struct HereSink<D: Descriptor + 'static>(Kept<D>);

type Kept<D> = Rc<RefCell<Fill<D>>>;

struct Fill<D> {
    items: VecDeque<Message<D>>,
    is_all: bool,
    /// The call is being served, or over.
    is_taken: bool,
}

enum Stage<D: Descriptor + 'static> {
    /// The arguments, and the links that they carry.
    Asked(Message<D>, Vec<HereLink<D>>),
    /// What the object gives.
    Gives(Output<HereLink<D>>),
    Over(Result<(Message<D>, Vec<HereLink<D>>), CallError>),
}

/// What the object is fed, and why that ended if it should not have.
type Broken = Rc<RefCell<Option<CallError>>>;

impl<D: Descriptor + 'static> HereFlow<D> {
    pub(super) fn new(
        link: &HereLink<D>,
        rpc: RpcIndex,
        build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>,
    ) -> Self {
        let mut message = Message::new();
        let built = build(&mut message);
        let links = link.table.carried.take();
        let stage = match built {
            Ok(()) => Stage::Asked(message, links),
            Err(error) => Stage::Over(Err(fail(rpc, CallFailure::Unsendable(error.to_string().into())))),
        };
        Self { link: link.clone(), rpc, stage, kept: None }
    }

    fn serve(&mut self, feed: Option<Feed<HereLink<D>>>) {
        let over = Stage::Over(Ok((Message::new(), Vec::new())));
        let Stage::Asked(mut message, links) = std::mem::replace(&mut self.stage, over) else { return };
        let feed = feed.or_else(|| self.kept.take().map(|kept| from_kept(&kept, self.rpc)));
        let descriptors = message.take_descriptors();
        let broken = Broken::default();
        let mut flows = Flows::new(feed.map(|feed| intake(feed, self.rpc, Rc::clone(&broken))));
        let mut reader = Reader::new(message.payload(), descriptors).with_links(links);
        let mut reply = Message::new();
        let served = (self.link.object)(self.rpc, &mut reader, &mut reply, &mut flows);
        let links = self.link.table.carried.take();
        self.stage = match (served, flows.output) {
            (Ok(()), Some(output)) => Stage::Gives(output),
            (Ok(()), None) => Stage::Over(Ok((reply, links))),
            (Err(failure), _) => {
                let own = broken.borrow_mut().take();
                Stage::Over(Err(own.unwrap_or_else(|| fail(self.rpc, CallFailure::Failed(failure)))))
            }
        };
    }
}

impl<D: Descriptor + 'static> Flow for HereFlow<D> {
    type Carrier = HereLink<D>;
    type Sink = HereSink<D>;

    fn sink(&mut self) -> HereSink<D> {
        let fill = Fill { items: VecDeque::new(), is_all: false, is_taken: false };
        HereSink(Rc::clone(self.kept.insert(Rc::new(RefCell::new(fill)))))
    }

    fn next<T>(
        &mut self,
        feed: &mut Option<Feed<HereLink<D>>>,
        read: impl FnOnce(&mut Reader<'_, D, HereLink<D>>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>> {
        if matches!(self.stage, Stage::Asked(..)) {
            self.serve(feed.take());
        }
        let Stage::Gives(output) = &mut self.stage else { return None };
        let mut message = Message::new();
        match output(&mut message) {
            Produced::Item(_) => Some(read_whole(&mut message, Vec::new(), self.rpc, read)),
            // Whoever asks is who has what it needs.
            Produced::NotYet => Some(Err(fail(self.rpc, CallFailure::Overloaded))),
            Produced::End(end) => {
                let reply = end.map(|()| (message, Vec::new()));
                self.stage = Stage::Over(reply.map_err(|failure| fail(self.rpc, CallFailure::Failed(failure))));
                None
            }
        }
    }

    fn reply<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, D, HereLink<D>>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        match self.stage {
            Stage::Over(reply) => {
                let (mut reply, links) = reply?;
                read_whole(&mut reply, links, self.rpc, read)
            }
            Stage::Asked(..) | Stage::Gives(_) => Err(fail(self.rpc, CallFailure::Deadline)),
        }
    }
}

/// Nobody waits: what is to come is made when it is asked for.
impl<D: Descriptor + 'static> PollFlow for HereFlow<D> {
    fn poll_next<T>(
        &mut self,
        _: &mut Context<'_>,
        read: impl FnOnce(&mut Reader<'_, D, HereLink<D>>) -> Result<T, RecvError>,
    ) -> Progress<Option<Result<T, CallError>>> {
        Progress::Ready(self.next(&mut None, read))
    }

    fn stop_waiting(&mut self) {}
}

/// What was kept is fed. If that was not all, the call has been given up.
fn from_kept<D: Descriptor + 'static>(kept: &Kept<D>, rpc: RpcIndex) -> Feed<HereLink<D>> {
    let mut fill = kept.borrow_mut();
    fill.is_taken = true;
    let (mut items, is_all) = (std::mem::take(&mut fill.items), fill.is_all);
    Box::new(move |message| match items.pop_front() {
        Some(item) => {
            *message = item;
            Fed::Item(Packet::Own)
        }
        None if is_all => Fed::End,
        None => Fed::Broken(fail(rpc, CallFailure::Cancelled)),
    })
}

impl<D: Descriptor + 'static> Sink for HereSink<D> {
    type Carrier = HereLink<D>;

    fn push(&mut self, build: impl FnOnce(&mut Message<D>) -> Result<(), AppendError>) -> Result<(), FeedError> {
        let mut item = Message::new();
        build(&mut item)?;
        let mut fill = self.0.borrow_mut();
        if fill.is_taken {
            return Err(FeedError::Unwanted);
        }
        fill.items.push_back(item);
        Ok(())
    }

    fn finish(self) {
        self.0.borrow_mut().is_all = true;
    }
}

impl<D: Descriptor + 'static> std::fmt::Debug for HereSink<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HereSink").finish_non_exhaustive()
    }
}

fn read_whole<D: Descriptor, T>(
    message: &mut Message<D>,
    links: Vec<HereLink<D>>,
    rpc: RpcIndex,
    read: impl FnOnce(&mut Reader<'_, D, HereLink<D>>) -> Result<T, RecvError>,
) -> Result<T, CallError> {
    let descriptors = message.take_descriptors();
    let mut reader = Reader::new(message.payload(), descriptors).with_links(links);
    let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
    value.map_err(|error| fail(rpc, CallFailure::Unreadable(error.to_string().into())))
}

fn intake<D: Descriptor + 'static>(mut feed: Feed<HereLink<D>>, rpc: RpcIndex, broken: Broken) -> Intake<HereLink<D>> {
    Box::new(move |read| {
        let mut message = Message::new();
        let why = match feed(&mut message) {
            Fed::Item(_) => return Some(read_whole(&mut message, Vec::new(), rpc, read)),
            Fed::End => return None,
            Fed::Broken(error) => error,
            Fed::Unsendable(error) => fail(rpc, CallFailure::Unsendable(error.to_string().into())),
        };
        broken.replace(Some(why.clone()));
        Some(Err(why))
    })
}

fn fail(rpc: RpcIndex, why: CallFailure) -> CallError {
    let peer = Name::new("here").expect("a constant that is a name");
    CallError::new(peer, rpc, std::time::Duration::ZERO, why)
}

impl<D: Descriptor + 'static> std::fmt::Debug for HereFlow<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HereFlow").field("rpc", &self.rpc).finish_non_exhaustive()
    }
}
