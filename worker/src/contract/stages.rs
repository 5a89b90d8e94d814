//! Several services in one worker.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_msg::contract::{Dispatch, Server};
use cloison_msg::{Failure, Interface, Message, Name};

use crate::{Link, Request, Service, Worker};

/// Serves several interfaces in one worker: stages that the host trusts alike.
///
/// Which of them a link is for, the broker says, which granted it; nothing that a peer sends decides it. A link for an
/// interface that no stage serves is answered with [`Failure::NoSuchMethod`].
///
/// ```no_run
/// use cloison_worker::{Answer, Stages, interface};
///
/// #[interface]
/// trait Demuxer {
///     fn packet(&self) -> Answer<Vec<u8>>;
/// }
/// #[interface]
/// trait Decoder {
///     fn decode(&self, packet: &[u8]) -> Answer<u32>;
/// }
/// # struct Demux;
/// # impl Demuxer for Demux { fn packet(&self) -> Answer<Vec<u8>> { Ok(vec![]) } }
/// # struct Decode;
/// # impl Decoder for Decode { fn decode(&self, packet: &[u8]) -> Answer<u32> { Ok(0) } }
///
/// fn main() -> std::process::ExitCode {
///     cloison_worker::run(|worker| {
///         worker.serve(Stages::new().with(DemuxerServer::new(Demux)).with(DecoderServer::new(Decode)))
///     })
/// }
/// ```
#[derive(Default)]
pub struct Stages {
    stages: Vec<(Name, Rc<dyn Service>)>,
    /// Which stage serves a link, found when its first request came: the link may be gone when its last one is served.
    links: RefCell<Vec<(Link, usize)>>,
}

impl Stages {
    /// No stage yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more stage.
    #[must_use]
    pub fn with<M: Dispatch<Link> + 'static>(self, server: Server<M>) -> Self {
        let contract = server.contract();
        self.with_service(contract, server)
    }

    /// One more stage, that serves `interface` in a way of its own: [`PerLink`](crate::PerLink), or messages by hand.
    ///
    /// # Panics
    /// If the interface's name is no [`Name`].
    #[must_use]
    pub fn with_service(mut self, interface: &Interface, service: impl Service + 'static) -> Self {
        self.stages.push((interface.name(), Rc::new(service)));
        self
    }

    fn stage_of(&self, link: &Link) -> Option<usize> {
        if let Some((_, stage)) = self.links.borrow().iter().find(|(held, _)| held == link) {
            return Some(*stage);
        }
        let interface = link.interface()?;
        let stage = self.stages.iter().position(|(name, _)| *name == interface)?;
        let mut links = self.links.borrow_mut();
        links.retain(|(held, _)| held.gone().is_none());
        links.push((link.clone(), stage));
        Some(stage)
    }
}

impl Service for Stages {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let stage = self.stage_of(&request.link()).ok_or(Failure::NoSuchMethod)?;
        self.stages[stage].1.serve(worker, request, reply)
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.stages.iter().map(|(name, _)| name)).finish()
    }
}
