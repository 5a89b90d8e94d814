//! The host: starts the four, flips the model while they work, and listens to what they tell.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cloison_broker::msg::{Message, Rights, Route};
use cloison_broker::{
    Ask, Broker, Decision, Grant, HOST, HostLink, Inbox, Item, Model, Policy, Rules, WorkerEvent, WorkerSpec,
};

use crate::cli::Options;
use crate::logs::{Flip, Logs};
use crate::protocol::{BYSTANDERS, DONE, GO, LEFT, LIMIT, LOG, ORDERS, PEER, RIGHT, TALLY, share_of_left};
use crate::report::{Report, Trips};
use crate::worker::monotonic;

/// How long the bystanders are alone, to see what is usual.
const QUIET: Duration = Duration::from_millis(800);

/// How long nothing at all may be heard.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// How many flips' worth of messages may be sent before a flip that is due.
const LEAD: u64 = 4;
/// The same, in messages, where flips are close.
const LEAD_LEAST: u64 = 1000;

/// How often the live line is written.
const LINE_EVERY: Duration = Duration::from_millis(200);

type Failed = Box<dyn Error + Send + Sync>;

/// What is heard, and who waits for news.
#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Default)]
struct Heard {
    logs: Logs,
    done: bool,
    trouble: Option<String>,
}

pub fn run(options: &Options) -> Result<Report, Failed> {
    let [caller, callee] = BYSTANDERS;
    let mut rules = Rules::new().allow(caller, callee, &PEER);
    for role in [LEFT, RIGHT, caller, callee] {
        rules = rules.allow(HOST, role, &ORDERS).allow(role, HOST, &LOG);
    }
    let policy = move |ask: &Ask<'_>| match (ask.from.as_str(), ask.to.as_str()) {
        // Who is called sends oneways of its own over the same link.
        (LEFT, RIGHT) => {
            let rights = Rights::methods(PEER.all());
            Decision::Grant(Grant { rights: rights.clone(), back: rights })
        }
        _ => rules.decide(ask),
    };
    let (broker, inbox) = Broker::start(policy, Model::Broker)?;
    let ear = Arc::new(Ear::default());
    let listening = ear.clone();
    let listener = thread::spawn(move || listening.listen(inbox));
    for role in [callee, caller, RIGHT, LEFT] {
        broker.spawn(WorkerSpec::own(role)?.restarts(0))?;
    }
    let report = exchange(options, &broker, &ear).inspect_err(|_| show(&broker));
    drop(broker);
    listener.join().map_err(|_| "the listener panicked")?;
    report
}

fn exchange(options: &Options, broker: &Broker, ear: &Ear) -> Result<Report, Failed> {
    let orders = |role| broker.open(role, &ORDERS);
    let (left, right, caller) = (orders(LEFT)?, orders(RIGHT)?, orders(BYSTANDERS[0])?);
    pin(broker)?;
    tell(&caller, GO, 0)?;
    let quiet = monotonic();
    thread::sleep(QUIET);
    let begin = monotonic();
    let all = share_of_left(options.messages);
    tell(&left, LIMIT, if options.flips == 0 { u64::MAX } else { all / (options.flips + 1) + LEAD_LEAST })?;
    tell(&left, GO, options.messages)?;
    let line = Line::new();
    let flips = flip(options.flips, all, broker, &left, ear, &line)?;
    tell(&left, LIMIT, u64::MAX)?;
    ear.wait(&line, &flips, |heard| heard.done)?;
    let tallies = [tally(&left)?, tally(&right)?];
    // The last of the logs was sent before the tally.
    let end = monotonic();
    ear.wait(&line, &flips, |heard| heard.logs.is_complete())?;
    line.clear();
    Ok(Report::new(tallies, &ear.heard().logs, &flips, (quiet, begin), end))
}

/// What is to be seen when something went wrong.
fn show(broker: &Broker) {
    for view in broker.links() {
        eprintln!("swap: {view}");
    }
    for role in [LEFT, RIGHT] {
        let tally = broker.open(role, &ORDERS).map_err(Failed::from).and_then(|orders| tally(&orders));
        eprintln!("swap: {role}: {tally:?}");
    }
}

/// The bystanders' link stays relayed, whatever the model.
fn pin(broker: &Broker) -> Result<(), Failed> {
    let until = Instant::now() + STUCK_AFTER;
    loop {
        let [caller, callee] = BYSTANDERS;
        if let Some(view) = broker.explain(caller, callee).first() {
            broker.link(view.id).set_route(Some(Route::Relayed)).wait();
            return Ok(());
        }
        if Instant::now() > until {
            return Err("the bystanders do not find each other".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Flips the model so often, spread over all messages.
fn flip(count: u64, all: u64, broker: &Broker, left: &HostLink, ear: &Ear, line: &Line) -> Result<Vec<Flip>, Failed> {
    let mut flips = Vec::new();
    let step = all / (count + 1);
    let models = [(Model::Orchestrator, Route::Direct), (Model::Broker, Route::Relayed)];
    for (at, (model, to)) in (1..=count).zip(models.into_iter().cycle()) {
        ear.wait(line, &flips, |heard| heard.done || heard.logs.sent() >= step * at)?;
        let began = monotonic();
        broker.set_model(model).wait();
        flips.push(Flip { began, ended: monotonic(), to });
        tell(left, LIMIT, step * (at + 1) + (LEAD * step).max(LEAD_LEAST))?;
    }
    Ok(flips)
}

fn tell(whom: &HostLink, rpc: cloison_broker::msg::RpcIndex, value: u64) -> Result<(), Failed> {
    let mut message = Message::new();
    message.append(&value)?;
    Ok(whom.oneway(rpc, message)?)
}

fn tally(whom: &HostLink) -> Result<crate::protocol::Tally, Failed> {
    Ok(whom.call(TALLY, Message::new())?.value()?)
}

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, mut inbox: Inbox) {
        while let Some(item) = inbox.next_within(Duration::MAX) {
            let mut heard = self.heard();
            match item {
                Item::Message(message) if message.rpc() == DONE => heard.done = true,
                Item::Message(message) => {
                    if let Err(error) = heard.logs.take(&message) {
                        heard.trouble = Some(format!("{} tells what cannot be read: {error}", message.peer()));
                    }
                }
                Item::Worker(WorkerEvent::Died { role, death, last_words, .. }) => {
                    heard.trouble = Some(format!("{role} died: {death}; {last_words:?}"));
                }
                _ => {}
            }
            self.news.notify_all();
        }
    }

    /// Waits until that has come true, and writes the live line meanwhile.
    fn wait(&self, line: &Line, flips: &[Flip], is_true: impl Fn(&Heard) -> bool) -> Result<(), Failed> {
        let mut heard = self.heard();
        let (mut last, mut since) = (heard.logs.count(), Instant::now());
        while !is_true(&heard) {
            if let Some(trouble) = &heard.trouble {
                return Err(trouble.clone().into());
            }
            if since.elapsed() > STUCK_AFTER {
                return Err(
                    format!("nothing was heard for {STUCK_AFTER:?}: {} messages were sent", heard.logs.sent()).into()
                );
            }
            line.write(&heard.logs, flips);
            (heard, _) = self.news.wait_timeout(heard, LINE_EVERY).unwrap_or_else(PoisonError::into_inner);
            if heard.logs.count() != last {
                (last, since) = (heard.logs.count(), Instant::now());
            }
        }
        Ok(())
    }
}

/// The live line, for whoever watches at a terminal.
struct Line {
    is_shown: bool,
    /// When it was written last, and how many messages had been sent then.
    last: (AtomicU64, AtomicU64),
}

impl Line {
    fn new() -> Self {
        let last = (AtomicU64::new(monotonic()), AtomicU64::new(0));
        Self { is_shown: std::io::stderr().is_terminal(), last }
    }

    fn write(&self, logs: &Logs, flips: &[Flip]) {
        let now = monotonic();
        let since = self.last.0.load(Ordering::Relaxed);
        let took = now.saturating_sub(since);
        if !self.is_shown || u128::from(took) < LINE_EVERY.as_nanos() {
            return;
        }
        let before = self.last.1.swap(logs.count(), Ordering::Relaxed);
        self.last.0.store(now, Ordering::Relaxed);
        let route = flips.last().map_or(Route::Relayed, |flip| flip.to);
        let rate = (logs.count() - before) as f64 / (took as f64 / 1e9);
        let trips = [Route::Relayed, Route::Direct].map(|route| {
            let recent = crate::report::calm(flips, route, 0, now).filter(|(_, to)| *to > since);
            Trips::of(recent.flat_map(|(from, to)| logs.trips(from.max(since), to)).collect()).p50_us
        });
        let name = if route == Route::Direct { "direct" } else { "relayed" };
        let text = format!(
            "{name:>7}  {rate:>9.0} messages/s  round trip relayed {:>5.0} µs, direct {:>5.0} µs  {:>6} flips",
            trips[0],
            trips[1],
            flips.len(),
        );
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
