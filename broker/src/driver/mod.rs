//! The router's hands: a lean readiness loop on a thread of its own, with the sockets, the clock and the descriptors.

mod alarm;
mod audit;
mod command;
mod counting;
mod desk;
mod given_up;
pub mod harness;
mod hoard;
mod host_end;
mod host_port;
mod obey;
mod offers;
mod relay;
mod seat;
mod streams;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use cloison_ipc::{Passed, ProcessIpc, RecvError};
use cloison_msg::trace::TraceLevel;
use cloison_msg::{DESCRIPTORS_MAX, Gone, Key, Name, PACKET_MAX, Time};
use rustix::event::epoll;
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::sync::oneshot;

pub use command::HostMessage;
pub(crate) use command::{Awaiting, Command, Commands, Done, Outgoing, Purpose};
pub use seat::BACKLOG_MAX;

use crate::host::Mailbox;
use crate::policy::{Model, Policy};
use crate::router::{Router, Violation};
use crate::supervisor::Notices;
use crate::trace::Intake;
use alarm::Alarm;
use audit::Audit;
use counting::Counting;
use desk::Desk;
use relay::Gathered;
use seat::Seat;

/// The epoll mark of the commands' bell; every mark but this and the next is a port's.
const BELL: u64 = u64::MAX;
/// The epoll mark of the alarm.
const ALARM: u64 = u64::MAX - 1;

/// Most messages that are taken from one worker before the next one has its turn; a packet that was begun is finished.
/// A packet has room for more than a thousand empty ones, each of which may cost the broker an answer.
const MESSAGES_PER_TURN: usize = 256;

/// The thread that drives the router.
#[derive(Debug)]
pub(crate) struct DriverThread {
    commands: Commands,
    thread: Option<JoinHandle<()>>,
}

impl DriverThread {
    /// Starts the thread.
    pub(crate) fn start(
        policy: std::sync::Arc<dyn Policy>,
        model: Model,
        mailbox: Mailbox,
        notices: Notices,
        commands: Commands,
    ) -> io::Result<Self> {
        let mut driver = Driver::new(Router::new(policy, model), mailbox, notices, commands.clone())?;
        let thread = thread::Builder::new().name("cloison-router".into()).spawn(move || driver.run())?;
        Ok(Self { commands, thread: Some(thread) })
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        self.commands.give(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; whoever drops the broker can do nothing more about it.
            let _ = thread.join();
        }
    }
}

struct Driver {
    router: Router<Passed>,
    seats: BTreeMap<Key, Seat>,
    /// Both ends of every direct link, kept to be shut down.
    pairs: HashMap<Key, [ProcessIpc; 2]>,
    desk: Desk,
    notices: Notices,
    audit: Audit,
    counting: Counting,
    /// What workers record of themselves.
    tracing: Intake,
    /// Who waits until a link, or each of them, is not on its way to another route any more.
    changing: Vec<(Option<Key>, oneshot::Sender<()>)>,
    epoll: std::os::fd::OwnedFd,
    /// Rings when something the host waits for has taken too long, or when a worker is to be sent something again.
    alarm: Alarm,
    commands: Commands,
    packet: Vec<u8>,
    descriptors: Vec<Passed>,
    gathered: Gathered,
    /// How often the loop has come round.
    turn: u64,
    stopped: bool,
}

impl Driver {
    fn new(router: Router<Passed>, mailbox: Mailbox, notices: Notices, commands: Commands) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, commands.bell(), epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        let alarm = Alarm::new()?;
        epoll::add(&epoll, &alarm, epoll::EventData::new_u64(ALARM), epoll::EventFlags::IN)?;
        Ok(Self {
            desk: Desk::new(mailbox, commands.clone()),
            router,
            seats: BTreeMap::new(),
            pairs: HashMap::new(),
            notices,
            audit: Audit::default(),
            counting: Counting::default(),
            tracing: Intake::new(commands.tracing().clone()),
            changing: Vec::new(),
            epoll,
            alarm,
            commands,
            packet: vec![0; PACKET_MAX],
            descriptors: Vec::with_capacity(DESCRIPTORS_MAX),
            gathered: Gathered::default(),
            turn: 0,
            stopped: false,
        })
    }

    fn run(&mut self) {
        let (mut events, mut commands) = (Vec::with_capacity(64), Vec::new());
        while !self.stopped {
            self.come_round(&mut events, &mut commands, None);
        }
    }

    /// Waits until something happens, at most `within`, and handles it; false if nothing did. The lists are memory that
    /// serves again.
    fn come_round(
        &mut self,
        events: &mut Vec<epoll::Event>,
        commands: &mut Vec<Command>,
        within: Option<&Timespec>,
    ) -> bool {
        events.clear();
        self.turn += 1;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), within) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll_wait on the router's own descriptor: {error}"),
        }
        for event in &*events {
            self.handle_event(event, commands);
        }
        self.tracing.hand_over();
        !events.is_empty()
    }

    fn handle_event(&mut self, event: &epoll::Event, commands: &mut Vec<Command>) {
        let (mark, flags) = (event.data.u64(), event.flags);
        if mark == BELL {
            self.commands.take(commands);
            self.gathered.is_open = commands.len() > 1;
            for command in commands.drain(..) {
                if !command.is_message() {
                    self.send_gathered();
                }
                self.handle_command(command);
            }
            self.gathered.is_open = false;
            self.send_gathered();
            self.obey();
            // Only what the host asks brings new deadlines, and whoever asks that a link be at rest.
            return self.ring();
        }
        if mark == ALARM {
            self.alarm.stop();
            self.router.handle_time(now());
            self.tick();
            self.retry_sends();
            return self.ring();
        }
        let port = key_of(mark);
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush(port);
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            let most = self.seats.get_mut(&port).map_or(0, |seat| seat.allowance(self.turn));
            self.hear(port, most, MESSAGES_PER_TURN);
        }
    }

    /// Sets the alarm for whatever is due next.
    fn ring(&mut self) {
        self.alarm.ring_by(self.desk.next_deadline());
        self.alarm.ring_by(self.router.next_deadline());
    }

    /// Handles what one worker sent: `most` packets of it, and no further one after `enough` messages.
    fn hear(&mut self, port: Key, most: usize, enough: usize) {
        let mut messages = 0;
        for _ in 0..most {
            if messages >= enough {
                return;
            }
            let Some(seat) = self.seats.get(&port) else { return };
            match seat.receive(&mut self.packet, &mut self.descriptors) {
                Ok(len) => messages += self.handle_packet(port, len),
                Err(RecvError::WouldBlock) => return,
                Err(RecvError::Closed) => return self.unseat(port),
                // That packet is gone; the next may be there.
                Err(RecvError::TooLong { .. } | RecvError::DescriptorsLost) => self.evict(port, Violation::Truncated),
                Err(RecvError::System(_)) => return self.evict(port, Violation::Truncated),
            }
        }
    }

    fn evict(&mut self, port: Key, violation: Violation) {
        self.router.evict(port, violation);
        self.obey();
    }

    /// Its socket is at its end. What that means, the supervisor finds out.
    fn unseat(&mut self, port: Key) {
        if let Some(seat) = self.seats.remove(&port) {
            let _ = epoll::delete(&self.epoll, seat.as_fd());
            self.notices.hung_up(port);
        }
    }

    fn seat(&mut self, role: Name, pid: u32, ipc: ProcessIpc) -> Option<Key> {
        let port = self.router.handle_start(role.clone());
        let added = epoll::add(&self.epoll, &ipc, epoll::EventData::new_u64(mark_of(port)), epoll::EventFlags::IN);
        if added.is_err() {
            self.router.handle_death(port, &Gone::BrokerEnded);
            return None;
        }
        self.notices.seated(&role, port);
        self.seats.insert(port, Seat::new(ipc));
        let level = self.tracing.seated(port, role, pid, now());
        if level != TraceLevel::Off {
            self.say_trace_level(port, level);
        }
        Some(port)
    }

    /// Waits for room in a worker's socket exactly as long as something waits for that room.
    fn watch(&mut self, port: Key) {
        let Some(seat) = self.seats.get_mut(&port) else { return };
        self.alarm.ring_by(seat.retry_at());
        if seat.wants_room == seat.waits_for_room() {
            return;
        }
        seat.wants_room = seat.waits_for_room();
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, seat.wants_room);
        let _ = epoll::modify(&self.epoll, seat.as_fd(), epoll::EventData::new_u64(mark_of(port)), flags);
    }

    /// Tries again what the system had no means for a moment ago.
    fn retry_sends(&mut self) {
        let waiting = self.seats.iter().filter(|(_, seat)| seat.retry_at().is_some());
        let waiting: Vec<Key> = waiting.map(|(&port, _)| port).collect();
        for port in waiting {
            if self.seats.get(&port).and_then(Seat::retry_at).is_some_and(|at| at <= now()) {
                self.flush(port);
            } else {
                self.watch(port);
            }
        }
    }

    /// Sends what waits for a worker, as far as there is room; whoever waits until it has caught up is told when it has.
    fn flush(&mut self, port: Key) {
        let Some(seat) = self.seats.get_mut(&port) else { return };
        let was_crowded = seat.is_crowded();
        seat.flush();
        let caught_up = was_crowded && !seat.is_crowded();
        self.watch(port);
        if caught_up {
            self.router.handle_crowd(port, false);
            self.obey();
        }
    }

    /// Last words of a dead worker come before the news of its death. There is an end to them: whoever holds a
    /// duplicate of its socket says nothing more.
    fn bury(&mut self, port: Key, why: &Gone) {
        if let Some(seat) = self.seats.get(&port) {
            seat.shut();
        }
        self.hear(port, usize::MAX, usize::MAX);
        if let Some(seat) = self.seats.remove(&port) {
            let _ = epoll::delete(&self.epoll, seat.as_fd());
        }
        if let Some(traffic) = self.router.traffic(port) {
            self.notices.relayed(port, traffic);
        }
        let role = self.router.role_at(port).cloned();
        self.router.handle_death(port, why);
        self.obey();
        self.counting.forget(port);
        role.iter().for_each(|role| self.audit.sum_up(role));
        self.tracing.gone(port);
    }

    fn stop(&mut self) {
        self.audit.sum_up_all();
        self.stopped = true;
    }
}

/// Also when the thread panics: whoever waits for the driver hears that it is gone.
impl Drop for Driver {
    fn drop(&mut self) {
        self.commands.close();
    }
}

/// The moment on `CLOCK_MONOTONIC`.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    Time(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

fn mark_of(port: Key) -> u64 {
    u64::from(port.generation) << 32 | u64::from(port.index)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the mark")]
fn key_of(mark: u64) -> Key {
    Key { index: mark as u32, generation: (mark >> 32) as u32 }
}
