//! Confined workers, one of which measures what it does with another, or with the host.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloison_broker::msg::{Failure, Interface, Message, RpcIndex};
use cloison_broker::{Broker, HostLink, Inbox, Model, Rules, WorkerSpec};
use cloison_worker::{Request, ServeError, Worker};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::floor::{Placement, Running, pin};

/// How the host asks the first worker of a scene to measure.
pub const MEASURER: Interface = Interface::new("measurer", &["measure"]);
const MEASURE: RpcIndex = MEASURER.method("measure");

/// Most steps of one measurement: their durations have to fit into the answer.
const STEPS_MAX: usize = 5000;

/// Who works together, and where.
pub struct Scene {
    pub policy: Rules,
    pub model: Model,
    /// The roles, and how many hops away from the first each of them is.
    pub roles: &'static [(&'static str, usize)],
    /// What the host does with its inbox, on a thread of its own beside the router's.
    pub host: fn(Inbox),
    /// What it does again and again while something is measured.
    pub beside: Option<fn(&Broker)>,
}

/// Starts a scene; its first worker carries out `order`.
pub fn start(placement: Placement, scene: Scene, order: impl Serialize + 'static) -> Running {
    // Threads stay where they are started: the host's and the router's are the neighbours of the first worker.
    pin(None, placement.core(1));
    let (broker, inbox) = Broker::start(scene.policy, scene.model).expect("a broker");
    let host = std::thread::spawn(move || (scene.host)(inbox));
    pin(None, placement.core(0));
    for (role, _) in scene.roles {
        broker.spawn(WorkerSpec::own(role).expect("a role")).expect("a confined worker");
    }
    let measurer = broker.open(scene.roles[0].0, &MEASURER).expect("granted");
    ask(&measurer, 1, &order);
    let processes: Vec<_> = broker.workers().iter().filter_map(|worker| worker.pid).collect();
    for (process, (_, hops)) in processes.iter().zip(scene.roles) {
        pin(Some(*process), placement.core(*hops));
    }
    let ends = Ends::new(broker, host);
    if let Some(beside) = scene.beside {
        pin(None, placement.core(1));
        ends.repeat(beside);
        pin(None, placement.core(0));
    }
    Running::new(processes, Vec::new(), move |count, took| {
        let _alive = &ends;
        let mut left = count;
        while left > 0 {
            let now = left.min(STEPS_MAX);
            took.extend(ask(&measurer, now, &order).into_iter().map(|nanos| Duration::from_nanos(nanos.into())));
            left -= now;
        }
    })
}

/// The host of a scene that has no business with it.
pub fn idle(mut inbox: Inbox) {
    while inbox.next_within(Duration::from_secs(3600)).is_some() {}
}

/// Serves as the first worker of a scene: makes a step out of the host's first order, and times it again and again.
pub fn measure<O: DeserializeOwned, S: FnMut() -> Result<(), Failure> + 'static>(
    worker: &Worker,
    prepare: impl Fn(&Worker, O) -> S + 'static,
) -> Result<(), ServeError> {
    let prepared = std::cell::RefCell::new(None);
    worker.serve(move |worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
        let (count, order): (usize, O) = request.recv()?;
        let mut step = prepared.take().unwrap_or_else(|| prepare(worker, order));
        let took = (0..count).map(|_| timed(&mut step)).collect::<Result<Vec<_>, _>>()?;
        prepared.replace(Some(step));
        reply.append(&took)?;
        Ok(())
    })
}

fn timed(step: &mut impl FnMut() -> Result<(), Failure>) -> Result<u32, Failure> {
    let start = Instant::now();
    step()?;
    Ok(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX))
}

fn ask(measurer: &HostLink, count: usize, order: &impl Serialize) -> Vec<u32> {
    let mut message = Message::new();
    message.append(&(count, order)).expect("an order fits");
    let mut answer = measurer.start(MEASURE, message, Duration::from_secs(60)).wait().expect("measured");
    answer.reader().recv().expect("durations")
}

/// What a scene ends with.
pub struct Ends {
    broker: Arc<Broker>,
    /// What is done beside, until that is dropped.
    beside: std::cell::RefCell<Vec<(Arc<AtomicBool>, Joined)>>,
    _host: Joined,
}

impl Ends {
    /// Dropped, the broker's end ends the inbox, which ends the host's thread.
    pub fn new(broker: Broker, host: JoinHandle<()>) -> Self {
        Self { broker: Arc::new(broker), beside: std::cell::RefCell::default(), _host: Joined(Some(host)) }
    }

    /// Does something again and again, on a thread of its own.
    fn repeat(&self, what: fn(&Broker)) {
        let (broker, over) = (self.broker.clone(), Arc::new(AtomicBool::new(false)));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                what(&broker);
            }
        });
        self.beside.borrow_mut().push((over, Joined(Some(thread))));
    }
}

impl std::ops::Deref for Ends {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

/// Whatever goes on beside holds the broker, so it goes first.
impl Drop for Ends {
    fn drop(&mut self) {
        for (over, thread) in self.beside.borrow_mut().drain(..) {
            over.store(true, Ordering::Relaxed);
            drop(thread);
        }
    }
}

/// A thread that is waited for.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            assert!(thread.join().is_ok(), "the host's thread has panicked");
        }
    }
}
