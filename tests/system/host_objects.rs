//! Objects of the host's: held, called, copied and dropped by confined processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle, ThreadId};

use cloison_broker::msg::{CallFailure, Denial, Failure, Rights};
use cloison_broker::router::OFFERS_PER_PAIR;
use cloison_broker::{
    Answer, Ask, Broker, Contract, Grant, HOST, HostLink, Inbox, Incoming, Item, Model, Objects, interface,
};
use cloison_worker::{Link, Worker};

use crate::case::{Case, both, module, thrice};
use crate::host::Host;
use crate::watch::{SOON, eventually};

pub fn cases() -> Vec<Case> {
    module(
        "host_objects",
        vec![
            thrice("live_as_long_as_a_link_leads_to_them", live_as_long_as_a_link_leads_to_them),
            thrice("are_handed_on", are_handed_on),
            thrice("end_with_their_holder", end_with_their_holder),
            both("are_answers_and_only_so_many", are_answers_and_only_so_many),
            both("are_given_as_the_policy_says", are_given_as_the_policy_says),
            both("that_are_slow_hold_up_nobody", that_are_slow_hold_up_nobody),
            both("end_without_an_inbox_and_hold_up_nobody", end_without_an_inbox_and_hold_up_nobody),
            both("are_revoked", are_revoked),
        ],
    )
}

#[interface]
trait Tally {
    fn add(&self, by: u32) -> Answer<u32>;
}

/// What the host serves.
#[interface]
trait Till<L> {
    fn tally(&self, from: u32) -> Answer<TallyClient<L>>;
}

#[interface]
trait Keeper<L> {
    /// Keeps it, and adds one.
    fn keep(&self, tally: TallyClient<L>) -> Answer<u32>;
    fn add(&self, by: u32) -> Answer<u32>;
    /// Has another keep it: a copy, or for good.
    fn show(&self, to: &str) -> Answer<u32>;
    fn give(&self, to: &str) -> Answer<u32>;
    fn forget(&self) -> Answer<()>;
    fn nothing(&self) -> Answer<()>;
    /// Asks the host for tallies until it gets no more: how many that were, and why.
    fn greed(&self) -> Answer<(u32, String)>;
}

struct Count {
    value: AtomicU32,
    alive: Arc<AtomicUsize>,
}

impl Count {
    fn new(from: u32, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self { value: AtomicU32::new(from), alive: alive.clone() }
    }
}

impl Tally for Count {
    fn add(&self, by: u32) -> Answer<u32> {
        Ok(self.value.fetch_add(by, Ordering::SeqCst) + by)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Cashier {
    objects: Objects,
    alive: Arc<AtomicUsize>,
}

impl Till<HostLink> for Cashier {
    fn tally(&self, from: u32) -> Answer<TallyClient<HostLink>> {
        Ok(TallyClient::offer(&self.objects, Count::new(from, &self.alive))?)
    }
}

struct Pocket {
    worker: Worker,
    kept: RefCell<Option<TallyClient<Link>>>,
    others: RefCell<BTreeMap<String, KeeperClient<Link>>>,
}

impl Pocket {
    fn kept(&self) -> TallyClient<Link> {
        self.kept.borrow().clone().unwrap()
    }

    fn keeper(&self, role: &str) -> KeeperClient<Link> {
        let bind = || KeeperClient::bind(&self.worker, role).unwrap();
        self.others.borrow_mut().entry(role.to_owned()).or_insert_with(bind).clone()
    }
}

impl Keeper<Link> for Pocket {
    fn keep(&self, tally: TallyClient<Link>) -> Answer<u32> {
        let count = tally.add(1)?;
        self.kept.replace(Some(tally));
        Ok(count)
    }

    fn add(&self, by: u32) -> Answer<u32> {
        self.kept().add(by)
    }

    fn show(&self, to: &str) -> Answer<u32> {
        self.keeper(to).keep(self.kept().shared())
    }

    fn give(&self, to: &str) -> Answer<u32> {
        let kept = self.kept.take().unwrap();
        self.keeper(to).keep(kept)
    }

    fn forget(&self) -> Answer<()> {
        self.kept.take();
        Ok(())
    }

    fn nothing(&self) -> Answer<()> {
        Ok(())
    }

    fn greed(&self) -> Answer<(u32, String)> {
        let till = TillClient::bind(&self.worker, HOST).unwrap();
        let mut got = Vec::new();
        let why = loop {
            match till.tally(0) {
                Ok(tally) => got.push(tally),
                Err(error) => break format!("{:?}", error.call().unwrap().why),
            }
        };
        for tally in &got {
            tally.add(1)?;
        }
        Ok((u32::try_from(got.len()).unwrap(), why))
    }
}

/// The whole life of a keeper.
pub fn main() -> ExitCode {
    let pocket =
        |worker: &Worker| Pocket { worker: worker.clone(), kept: RefCell::default(), others: RefCell::default() };
    cloison_worker::run(|worker| worker.serve(KeeperServer::new(pocket(worker))))
}

/// Everybody may use what there is, and hand tallies on; but the poor get none.
fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let grant = |contract: &Contract| Grant { rights: contract.rights(), back: Rights::default() };
    match ask.interface.as_str() {
        "tally" if ask.from.as_str().contains("poor") => None,
        "tally" => Some(Grant { rights: TALLY.rights().delegable(), back: Rights::default() }),
        "till" => Some(grant(&TILL)),
        "keeper" => Some(grant(&KEEPER)),
        _ => None,
    }
}

struct Scene {
    broker: Arc<Broker>,
    keeper: KeeperClient<HostLink>,
    alive: Arc<AtomicUsize>,
    /// Ends when the broker has.
    flipper: Option<crate::host::Flipper>,
    serving: Option<JoinHandle<()>>,
}

/// A host that serves its objects in the way that is given.
fn scene_serving(model: Model, keeper: &str, serve: impl FnMut(Incoming) + Send + 'static) -> Scene {
    let Host { flipper, broker, inbox } = Host::new(model, policy);
    let alive = Arc::new(AtomicUsize::new(0));
    let serving = Some(serve_inbox(inbox, &broker, &alive, serve));
    broker.spawn(cloison_broker::WorkerSpec::own(keeper).unwrap()).unwrap();
    let keeper = KeeperClient::bind(&*broker, keeper).unwrap();
    Scene { broker, keeper, alive, flipper, serving }
}

fn serve_inbox(
    mut inbox: Inbox,
    broker: &Broker,
    alive: &Arc<AtomicUsize>,
    mut serve: impl FnMut(Incoming) + Send + 'static,
) -> JoinHandle<()> {
    let till = TillServer::new(Cashier { objects: broker.objects(), alive: alive.clone() });
    thread::spawn(move || {
        while let Some(item) = inbox.next_within(SOON) {
            match item {
                Item::Message(message) if message.is_for_object() => serve(message),
                Item::Message(message) => message.serve(&till),
                Item::LinkGone { peer, .. } => assert!(!peer.as_str().is_empty()),
                _ => {}
            }
        }
    })
}

fn scene(model: Model, keeper: &str) -> Scene {
    scene_serving(model, keeper, |message| assert!(message.serve_object().is_none()))
}

impl Scene {
    fn tally(&self, from: u32) -> TallyClient<HostLink> {
        TallyClient::offer(&*self.broker, Count::new(from, &self.alive)).unwrap()
    }

    fn another(&self, role: &str) -> KeeperClient<HostLink> {
        self.broker.spawn(cloison_broker::WorkerSpec::own(role).unwrap()).unwrap();
        KeeperClient::bind(&*self.broker, role).unwrap()
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    fn eventually_alive(&self, count: usize) {
        eventually("so many are left", || (self.alive() == count).then_some(()));
    }

    /// What is left ends with the broker; and so does its inbox.
    fn end(self) {
        let Self { broker, keeper, alive, flipper, serving } = self;
        drop((keeper, flipper));
        drop(Arc::into_inner(broker).expect("nobody else holds it"));
        serving.unwrap().join().unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
}

fn live_as_long_as_a_link_leads_to_them(model: Model) {
    let scene = scene(model, "keeper");
    drop(scene.tally(1));
    scene.eventually_alive(0);
    for round in 0..50 {
        assert_eq!(scene.keeper.keep(scene.tally(round)), Ok(round + 1));
        assert_eq!(scene.keeper.add(5), Ok(round + 6));
    }
    scene.eventually_alive(1);
    let view = scene.broker.explain("keeper", HOST).into_iter().find(|view| view.interface.as_str() == "tally");
    assert_eq!(view.unwrap().asked_by.as_str(), "keeper", "it is as if it had asked");
    scene.keeper.forget().unwrap();
    scene.eventually_alive(0);
    scene.keeper.keep(scene.tally(0)).unwrap();
    scene.end();
}

fn are_handed_on(model: Model) {
    let scene = scene(model, "keeper");
    let two = scene.another("keeper-two");
    for round in 0..20 {
        assert_eq!(scene.keeper.keep(scene.tally(round)), Ok(round + 1));
        assert_eq!(scene.keeper.show("keeper-two"), Ok(round + 2));
        assert_eq!((two.add(1), scene.keeper.add(1), two.add(1)), (Ok(round + 3), Ok(round + 4), Ok(round + 5)));
        scene.keeper.forget().unwrap();
        assert_eq!(two.add(1), Ok(round + 6), "the copy holds it");
        scene.eventually_alive(1);
        two.forget().unwrap();
        scene.eventually_alive(0);
        assert_eq!(scene.keeper.keep(scene.tally(round)), Ok(round + 1));
        assert_eq!(scene.keeper.give("keeper-two"), Ok(round + 2));
        assert_eq!(two.add(1), Ok(round + 3));
    }
    scene.end();
}

fn end_with_their_holder(model: Model) {
    let scene = scene(model, "keeper");
    scene.keeper.keep(scene.tally(0)).unwrap();
    assert_eq!(scene.alive(), 1);
    assert!(scene.broker.kill("keeper", "it is time"));
    scene.eventually_alive(0);
    scene.end();
}

fn are_answers_and_only_so_many(model: Model) {
    let scene = scene(model, "keeper");
    let denied = format!("{:?}", CallFailure::Failed(Failure::Denied(Denial::Links)));
    for _ in 0..3 {
        assert_eq!(scene.keeper.greed(), Ok((u32::try_from(OFFERS_PER_PAIR).unwrap(), denied.clone())));
        scene.eventually_alive(0);
    }
    scene.end();
}

fn are_given_as_the_policy_says(model: Model) {
    let scene = scene(model, "poor-keeper");
    let error = scene.keeper.keep(scene.tally(0)).unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::Failed(Failure::Denied(Denial::Delegation)));
    scene.eventually_alive(0);
    scene.end();
}

/// Waits for a word when it is called, and when it ends.
struct Slow {
    word: std::sync::Mutex<mpsc::Receiver<()>>,
    ended: mpsc::Sender<ThreadId>,
}

impl Tally for Slow {
    fn add(&self, by: u32) -> Answer<u32> {
        self.word.lock().unwrap().recv_timeout(SOON).unwrap();
        Ok(by)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.word.get_mut().unwrap().recv_timeout(SOON).unwrap();
        self.ended.send(thread::current().id()).unwrap();
    }
}

fn slow() -> (Slow, mpsc::Sender<()>, mpsc::Receiver<ThreadId>) {
    let ((go, word), (ended, end)) = (mpsc::channel(), mpsc::channel());
    (Slow { word: std::sync::Mutex::new(word), ended }, go, end)
}

/// Each message for an object is served on a thread of its own.
fn that_are_slow_hold_up_nobody(model: Model) {
    let scene = scene_serving(model, "keeper", |message| {
        thread::spawn(move || message.serve_object());
    });
    let two = scene.another("keeper-two");
    let (slow, go, end) = slow();
    let waiting = scene.keeper.start().keep(TallyClient::offer(&*scene.broker, slow).unwrap());
    for round in 0..20 {
        assert_eq!(two.keep(scene.tally(round)), Ok(round + 1));
    }
    go.send(()).unwrap();
    assert_eq!(waiting.wait(), Ok(1));
    scene.keeper.forget().unwrap();
    for round in 0..20 {
        assert_eq!(two.nothing(), Ok(()), "in round {round}, while it ends where the inbox is read");
    }
    go.send(()).unwrap();
    assert_eq!(end.recv_timeout(SOON).unwrap(), scene.serving.as_ref().unwrap().thread().id());
    two.forget().unwrap();
    scene.end();
}

fn end_without_an_inbox_and_hold_up_nobody(model: Model) {
    let Host { broker, inbox, .. } = Host::new(model, policy);
    broker.spawn(cloison_broker::WorkerSpec::own("keeper").unwrap()).unwrap();
    let keeper = KeeperClient::bind(&*broker, "keeper").unwrap();
    drop(inbox);
    let (slow, go, end) = slow();
    let error = keeper.keep(TallyClient::offer(&*broker, slow).unwrap()).unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
    for round in 0..20 {
        assert_eq!(keeper.nothing(), Ok(()), "in round {round}");
    }
    go.send(()).unwrap();
    end.recv_timeout(SOON).unwrap();
}

fn are_revoked(model: Model) {
    let scene = scene(model, "keeper");
    let two = scene.another("keeper-two");
    scene.keeper.keep(scene.tally(0)).unwrap();
    scene.keeper.show("keeper-two").unwrap();
    let views = scene.broker.explain("keeper", HOST);
    let view = views.iter().find(|view| view.interface.as_str() == "tally").unwrap();
    scene.broker.link(view.id).revoke().wait();
    assert!(scene.keeper.add(1).is_err() && two.add(1).is_err());
    scene.eventually_alive(0);
    scene.end();
}
