//! The stages, as the host reaches them in workers, and what it keeps of how they fare.

use std::cell::RefCell;

use cloison_broker::ipc::BufferRef;
use cloison_broker::msg::contract::bind::BindError;
use cloison_broker::msg::{Destination, Refusal};
use cloison_broker::{Borrowed, Broker, HostLink, OpenError};

use super::Order;
use super::fault::{Fault, Faults};
use super::recovery::Recovery;
use super::workers;
use crate::pipeline::{Cast, Play, Trouble, role_of};
use crate::play::PlayError;
use crate::playback::Playback;
use crate::progress::Progress;
use crate::protocol::{DecoderClient, DemuxerClient, Kind, Nanos, SeekTo};
use crate::service::Lent;
use crate::sink::PictureData;
use crate::text::plain;
use crate::worker::DEMUX;

/// The workers, while a file is played.
pub struct Stages<'a> {
    pub(super) broker: &'a Broker,
    pub(super) order: &'a Order<'a>,
    faults: RefCell<Faults>,
    pub(super) recovery: RefCell<Recovery>,
    progress: RefCell<&'a mut Progress>,
    /// Those that were opened, to be closed before others take their place.
    links: RefCell<Vec<HostLink>>,
    /// The roles without which nothing is played; `None` as long as nobody knows.
    needed: RefCell<Option<Vec<&'static str>>>,
}

impl<'a> Stages<'a> {
    pub fn new(broker: &'a Broker, order: &'a Order<'a>, progress: &'a mut Progress) -> Self {
        let (faults, recovery) = (RefCell::new(Faults::new(order.faults)), RefCell::default());
        let (progress, links, needed) = (RefCell::new(progress), RefCell::default(), RefCell::default());
        Self { broker, order, faults, recovery, progress, links, needed }
    }

    /// Closes all links: what is lent over them is back then, and what is on its way comes to nothing.
    pub fn unlink(&self) {
        self.links.take().into_iter().for_each(HostLink::close);
    }

    /// Whether the link is in use.
    pub fn is_linked(&self, link: Destination) -> bool {
        self.links.borrow().iter().any(|open| open.name() == link)
    }

    /// Whether playing needs the worker of this role.
    pub fn needs(&self, role: &str) -> bool {
        role == DEMUX || self.needed.borrow().as_ref().is_none_or(|needed| needed.contains(&role))
    }

    /// Kills a worker that is of no more use; it is started again like one that crashed.
    pub fn kill(&self, role: &str, why: &str) {
        if !self.recovery.borrow().is_down(role) {
            self.recovery.borrow_mut().down(role);
            self.broker.kill(role, why);
        }
    }

    /// A worker has started: it may be due to misbehave at once.
    pub fn started(&self, role: &'static str) {
        let due = self.faults.borrow_mut().started(role);
        self.provoke(due);
    }

    fn provoke(&self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            workers::provoke(self.broker, &fault);
        }
    }

    /// Says which faults were asked for and never came.
    pub fn tell_of_faults(&self, play: &mut Play<'_>) {
        let Some(playback) = play.playback() else { return };
        self.faults.borrow().unreached().into_iter().for_each(|note| playback.note(note));
    }

    /// Takes over a link that was bound.
    fn bound<T>(
        &self,
        role: &'static str,
        bound: Result<T, BindError<OpenError>>,
        link: impl FnOnce(&T) -> HostLink,
    ) -> Result<T, Trouble> {
        match bound {
            Ok(client) => {
                self.links.borrow_mut().push(link(&client));
                Ok(client)
            }
            // It died before it could be reached; the news are on their way.
            Err(BindError::Open(OpenError { why: Refusal::PeerGone(_) | Refusal::Limit(_), .. })) => {
                Err(Trouble::Gone(role))
            }
            Err(BindError::Open(error)) => Err(PlayError::from(error).into()),
            Err(BindError::Ask(error)) => Err(Trouble::of(role, &error)),
            Err(error) => Err(Trouble::Faulty(role, plain(&error.to_string()))),
        }
    }
}

impl Cast for Stages<'_> {
    type Link = HostLink;
    type Lent = Borrowed;

    async fn demuxer(&self) -> Result<DemuxerClient<HostLink>, Trouble> {
        self.bound(DEMUX, DemuxerClient::bind_async(self.broker, DEMUX).await, DemuxerClient::link)
    }

    async fn decoder(&self, kind: Kind) -> Result<DecoderClient<HostLink>, Trouble> {
        let role = role_of(kind);
        self.bound(role, DecoderClient::bind_async(self.broker, role).await, DecoderClient::link)
    }

    fn borrow(&self, link: &HostLink, name: BufferRef) -> Result<Borrowed, String> {
        link.borrow(name).map_err(|error| error.to_string())
    }

    fn selected(&self, kinds: &[Kind]) {
        self.needed.replace(Some(kinds.iter().map(|kind| role_of(*kind)).collect()));
    }

    fn take_up(&self, point: Nanos) -> SeekTo {
        self.recovery.borrow_mut().take_up(self.broker, point)
    }

    fn cannot_seek(&self, playback: &mut Playback, why: &str) -> Result<(), PlayError> {
        let mut recovery = self.recovery.borrow_mut();
        if !recovery.skips() {
            return Err(PlayError::Media(plain(why)));
        }
        let deaths = recovery.take_deaths();
        let complaint = format!("{deaths}; what comes next has killed workers before, and nothing follows it");
        playback.ended(Some(&complaint));
        Ok(())
    }

    fn landed(&self, playback: &mut Playback, landing: Nanos, is_resumed: bool) {
        let mut recovery = self.recovery.borrow_mut();
        match is_resumed {
            true if recovery.has_skipped() => playback.skipped(landing),
            true => playback.restarted(),
            false => {}
        }
        let deaths = recovery.take_deaths();
        if !deaths.is_empty() {
            playback.replaced(format!("{deaths}; playing went on from {:.3} s", landing as f64 / 1e9));
        }
    }

    fn took_packet(&self) {
        let due = self.faults.borrow_mut().count(DEMUX);
        self.provoke(due);
    }

    fn gave(&self, kind: Kind, is_new: bool, playback: &Playback) {
        let role = role_of(kind);
        if is_new {
            self.recovery.borrow_mut().brought_something(self.broker, role, playback.restart_point());
        }
        let due = self.faults.borrow_mut().count(role);
        self.provoke(due);
    }

    fn look(&self, playback: &Playback) {
        self.progress.borrow_mut().show(playback, || self.recovery.borrow().states());
    }
}

impl PictureData for Borrowed {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        PictureData::read(&**self, offset, buffer);
    }
}

impl Lent for Borrowed {
    fn len(&self) -> usize {
        (**self).len()
    }
}
