//! Contracts in a host: calling by them, and serving them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll as Progress};
use std::time::{Duration, Instant};

use cloison_ipc::Passed;
use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Bind, BindAsync, Carrier, Dispatch, Flows, Pending, Poll, Retry, Server, Stub, serving};
use cloison_msg::{
    AppendError, CallError, CallFailure, Contract, Failure, Name, Reader, RecvError, Rights, RpcIndex, Streams, Text,
    Transfer,
};

use super::stream::{give_all, intake};
use super::{CALL_DEADLINE, HostFlow, HostLink, Incoming, OpenError, PendingCall};
use crate::Broker;
use crate::driver::HostMessage;
use crate::wait::wait;

impl Carrier for HostLink {
    type Sent = Passed;
    type Passed = Passed;
    type Pending = Started;
    type Flow = HostFlow;

    const DEADLINE: Duration = CALL_DEADLINE;

    fn peer_role(&self) -> Name {
        Name::clone(&self.peer())
    }

    fn put_into(&self, message: &mut HostMessage, transfer: Transfer, rights: &Rights) -> Result<(), AppendError> {
        match transfer {
            Transfer::Copy => message.append_link(self, rights)?,
            Transfer::Move => message.move_link(self, rights)?,
        };
        if transfer == Transfer::Move {
            self.let_go();
        }
        Ok(())
    }

    fn call<T>(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
        read: impl FnOnce(&mut Reader<'_, Passed, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        Carrier::start(self, rpc, within, build).wait(read)
    }

    fn start(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
    ) -> Started {
        let begin = |message| Stage::Called(self.start(rpc, message, within.unwrap_or(CALL_DEADLINE)));
        Started::new(self, rpc, build, begin)
    }

    fn stream(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        streams: Streams,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
    ) -> HostFlow {
        let mut message = HostMessage::new();
        match build(&mut message) {
            Ok(()) => Self::stream(self, rpc, message, within.unwrap_or(CALL_DEADLINE), streams),
            Err(error) => {
                self.close_moves(&message);
                HostFlow::failed(self, rpc, CallFailure::Unsendable(error.to_string().into()))
            }
        }
    }

    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        self.start_oneway(rpc, within, build).wait(|_| Ok(()))
    }

    fn start_oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
    ) -> Started {
        let begin = |message| {
            let told = self.tell(rpc, message, within.unwrap_or(CALL_DEADLINE));
            Stage::Running(Box::pin(async move { told.await.map(|()| None) }))
        };
        Started::new(self, rpc, build, begin)
    }
}

/// A call by a contract that was begun.
#[derive(Debug)]
pub struct Started {
    peer: Name,
    rpc: RpcIndex,
    since: Instant,
    stage: Stage,
}

/// How far it has come.
enum Stage {
    /// It waits for its reply.
    Called(PendingCall),
    /// It is a oneway, and waits for room; or it is made again.
    Running(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// It is over. A oneway has no reply.
    Over(Outcome),
}

/// What a call comes to: a reply, unless it is a oneway.
type Outcome = Result<Option<Incoming>, CallError>;

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Called(_) => "Called",
            Self::Running(_) => "Running",
            Self::Over(_) => "Over",
        })
    }
}

impl Started {
    fn new(
        link: &HostLink,
        rpc: RpcIndex,
        build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>,
        begin: impl FnOnce(HostMessage) -> Stage,
    ) -> Self {
        let mut message = HostMessage::new();
        let (peer, since) = (Name::clone(&link.peer()), Instant::now());
        let stage = match build(&mut message) {
            Ok(()) => begin(message),
            Err(error) => {
                link.close_moves(&message);
                let why = CallFailure::Unsendable(error.to_string().into());
                Stage::Over(Err(CallError::new(peer.clone(), rpc, Duration::ZERO, why)))
            }
        };
        Self { peer, rpc, since, stage }
    }

    fn poll_stage(&mut self, context: &mut Context<'_>) -> Progress<()> {
        let outcome = match &mut self.stage {
            Stage::Called(call) => Pin::new(call).poll(context).map(|outcome| outcome.map(Some)),
            Stage::Running(running) => running.as_mut().poll(context),
            Stage::Over(_) => return Progress::Ready(()),
        };
        outcome.map(|outcome| self.stage = Stage::Over(outcome))
    }

    fn unreadable(&self, error: RecvError) -> CallError {
        let why = CallFailure::Unreadable(error.to_string().into());
        CallError::new(self.peer.clone(), self.rpc, self.since.elapsed(), why)
    }
}

impl Pending for Started {
    type Passed = Passed;
    type Link = HostLink;

    fn retry(retry: Retry<HostLink>) -> Self {
        let (peer, rpc, since) = (retry.role().clone(), retry.rpc(), Instant::now());
        Self { peer, rpc, since, stage: Stage::Running(Box::pin(call_again(retry, since))) }
    }

    fn wait<T>(
        mut self,
        read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        wait(poll_fn(|context| self.poll_stage(context)));
        let over = std::mem::replace(&mut self.stage, Stage::Over(Ok(None)));
        let Stage::Over(outcome) = over else { unreachable!("it was waited for until it was over") };
        let value = match outcome? {
            Some(mut reply) => {
                let mut reader = reply.reader();
                read(&mut reader).and_then(|value| reader.finish().map(|()| value))
            }
            None => read(&mut Reader::new(&[], Vec::new()).with_links(Vec::new())),
        };
        value.map_err(|error| self.unreadable(error))
    }

    /// A oneway is on its way in any case.
    fn detach(self) {
        if let Stage::Called(call) = self.stage {
            call.detach();
        }
    }

    fn wait_any(started: &mut [Self]) -> usize {
        wait(poll_fn(|context| {
            let over = started.iter_mut().position(|call| call.poll_done(context));
            over.map_or(Progress::Pending, Progress::Ready)
        }))
    }
}

impl Poll for Started {
    fn poll_done(&mut self, context: &mut Context<'_>) -> bool {
        self.poll_stage(context).is_ready()
    }
}

impl Bind for Broker {
    type Carrier = HostLink;
    type Error = OpenError;

    fn bind_stub(&self, role: &str, contract: &'static Contract) -> Result<Stub<HostLink>, BindError<OpenError>> {
        wait(self.bind_stub_async(role, contract))
    }
}

impl BindAsync for Broker {
    async fn bind_stub_async(
        &self,
        role: &str,
        contract: &'static Contract,
    ) -> Result<Stub<HostLink>, BindError<OpenError>> {
        let link = self.open_async(role, contract).await.map_err(BindError::Open)?;
        let link = Unbound(Some(link));
        let role = Name::clone(&link.get().peer());
        let served = bind::ask_async(link.get(), &role, contract, None).await?;
        Ok(Stub::bound(role, contract, link.bound(), served))
    }
}

/// Makes a call again whose peer died, and waits for its reply.
async fn call_again(retry: Retry<HostLink>, since: Instant) -> Outcome {
    let until = since + retry.within();
    let outcome = match retry.reopened() {
        Some(link) => Ok(link),
        None => reopen(&retry, until).await,
    };
    let failed = |why| CallError::new(retry.role().clone(), retry.rpc(), since.elapsed(), why);
    let link = outcome.map_err(failed)?;
    let mut message = HostMessage::new();
    retry.build(&mut message).map_err(|error| failed(CallFailure::Unsendable(error.to_string().into())))?;
    let reply = HostLink::start(&link, retry.rpc(), message, left(until)).await;
    reply.map(Some).map_err(|error| CallError { after: since.elapsed(), ..error })
}

/// A link to the role's next player, over which calls of the same client go from now on.
async fn reopen(retry: &Retry<HostLink>, until: Instant) -> Result<HostLink, CallFailure> {
    let (role, contract) = (retry.role(), retry.contract());
    let opened = retry.former().open_like(role.clone(), contract, left(until)).await;
    let link = opened.map_err(|refusal| if left(until).is_zero() { CallFailure::Deadline } else { refusal.into() })?;
    let link = Unbound(Some(link));
    let served = bind::ask_async(link.get(), role, contract, Some(left(until))).await?;
    let link = link.bound();
    Ok(match retry.renew(&link, served) {
        None => link,
        Some(theirs) => {
            link.close();
            theirs
        }
    })
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// A link that is closed unless it comes to be bound: also when whoever binds it stops waiting.
struct Unbound(Option<HostLink>);

impl Unbound {
    fn get(&self) -> &HostLink {
        self.0.as_ref().expect("only `bound` and `drop` take it")
    }

    fn bound(mut self) -> HostLink {
        self.0.take().expect("only `bound` and `drop` take it")
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.close();
        }
    }
}

impl Incoming {
    /// Serves the request that this is, and answers it. If it takes a stream or is answered by one, that takes as long as the
    /// stream lasts: have such a one served on a thread of its own.
    ///
    /// ```no_run
    /// use cloison_broker::{Answer, Inbox, Item, interface};
    ///
    /// #[interface]
    /// trait Log {
    ///     #[oneway]
    ///     fn note(&self, line: &str) -> Answer<()>;
    /// }
    ///
    /// struct Terminal;
    /// impl Log for Terminal {
    ///     fn note(&self, line: &str) -> Answer<()> {
    ///         println!("{}", cloison_broker::msg::Text::new(line));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn hear(mut inbox: Inbox) {
    ///     let log = LogServer::new(Terminal);
    ///     while let Some(item) = inbox.next().await {
    ///         if let Item::Message(message) = item {
    ///             message.serve(&log);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn serve<M: Dispatch<HostLink>>(mut self, server: &Server<M>) {
        let mut reply = HostMessage::new();
        let (rpc, as_served) = (self.rpc(), self.as_served());
        let mut flows = Flows::new(intake(self.core(), self.stream(), self.header()));
        let mut request = self.reader();
        let served = serving::serve(as_served, || server.answer(rpc, &mut request, &mut reply, &mut flows));
        drop(request);
        let served = match (served, flows.output, self.stream()) {
            (Ok(()), Some(mut output), Some(stream)) if stream.streams.contains(Streams::ITEMS) => {
                give_all(self.core(), stream, &mut output).map(|last| reply = last)
            }
            (Ok(()), Some(_), _) => {
                Err(Failure::Undecodable(Text::new("its answer is a stream, for which nobody asked")))
            }
            (served, _, _) => served,
        };
        match served {
            Ok(()) => self.reply(reply),
            Err(failure) => {
                self.close_moves(&reply);
                self.fail(failure);
            }
        }
    }
}
