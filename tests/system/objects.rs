//! Links in contracts, and objects that are held by links: between confined processes, and with the host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;

use cloison_broker::msg::{CallFailure, Denial, Failure, Gone, Rights};
use cloison_broker::router::OFFERS_PER_PAIR;
use cloison_broker::{Answer, Ask, Contract, Grant, HOST, HostLink, Model, interface};
use cloison_worker::{Link, Worker};

use crate::case::{Case, both, module, thrice};
use crate::host::Host;
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    module(
        "objects",
        vec![
            thrice("live_as_long_as_a_link_leads_to_them", live_as_long_as_a_link_leads_to_them),
            thrice("are_handed_on", are_handed_on),
            thrice("are_called_back", are_called_back),
            thrice("end_with_their_holder", end_with_their_holder),
            thrice("end_with_their_maker", end_with_their_maker),
            both("are_given_as_the_policy_says", are_given_as_the_policy_says),
            both("are_only_so_many", are_only_so_many),
            both("are_revoked", are_revoked),
        ],
    )
}

#[interface]
trait Counter {
    fn add(&self, by: u32) -> Answer<u32>;
}

#[interface]
trait Shop<L> {
    fn counter(&self, from: u32) -> Answer<CounterClient<L>>;
    /// How many counters there are.
    fn alive(&self) -> Answer<u32>;
    fn end(&self) -> Answer<()>;
}

#[interface]
trait Buyer<L> {
    /// Buys a counter of a shop, and counts.
    fn buy(&self, shop: &str, from: u32) -> Answer<u32>;
    fn count(&self) -> Answer<u32>;
    /// The counter that was bought: a copy, or for good.
    fn show(&self) -> Answer<CounterClient<L>>;
    fn sell(&self) -> Answer<CounterClient<L>>;
    /// Another's counter.
    fn take(&self, counter: CounterClient<L>) -> Answer<u32>;
    fn forget(&self) -> Answer<()>;
    /// A counter of its own.
    fn make(&self) -> Answer<CounterClient<L>>;
    /// Buys until it gets no more: how many that were, and why.
    fn greed(&self, shop: &str) -> Answer<(u32, String)>;
}

struct Count(Cell<u32>, Rc<Cell<u32>>);

impl Count {
    fn new(from: u32, alive: &Rc<Cell<u32>>) -> Self {
        alive.set(alive.get() + 1);
        Self(Cell::new(from), Rc::clone(alive))
    }
}

impl Counter for Count {
    fn add(&self, by: u32) -> Answer<u32> {
        self.0.set(self.0.get() + by);
        Ok(self.0.get())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

struct Store {
    worker: Worker,
    alive: Rc<Cell<u32>>,
}

impl Shop<Link> for Store {
    fn counter(&self, from: u32) -> Answer<CounterClient<Link>> {
        Ok(CounterClient::offer(&self.worker, Count::new(from, &self.alive))?)
    }

    fn alive(&self) -> Answer<u32> {
        Ok(self.alive.get())
    }

    fn end(&self) -> Answer<()> {
        std::process::abort()
    }
}

struct Customer {
    worker: Worker,
    shops: RefCell<BTreeMap<String, ShopClient<Link>>>,
    bought: RefCell<Option<CounterClient<Link>>>,
}

impl Customer {
    fn bought(&self) -> CounterClient<Link> {
        self.bought.borrow().clone().unwrap()
    }

    fn shop(&self, role: &str) -> ShopClient<Link> {
        let bind = || ShopClient::bind(&self.worker, role).unwrap();
        self.shops.borrow_mut().entry(role.to_owned()).or_insert_with(bind).clone()
    }
}

impl Buyer<Link> for Customer {
    fn buy(&self, shop: &str, from: u32) -> Answer<u32> {
        let counter = self.shop(shop).counter(from)?;
        self.take(counter)
    }

    fn count(&self) -> Answer<u32> {
        self.bought().add(1)
    }

    fn show(&self) -> Answer<CounterClient<Link>> {
        Ok(self.bought().shared())
    }

    fn sell(&self) -> Answer<CounterClient<Link>> {
        Ok(self.bought.take().unwrap())
    }

    fn take(&self, counter: CounterClient<Link>) -> Answer<u32> {
        let count = counter.add(1)?;
        self.bought.replace(Some(counter));
        Ok(count)
    }

    fn forget(&self) -> Answer<()> {
        self.bought.take();
        Ok(())
    }

    fn make(&self) -> Answer<CounterClient<Link>> {
        Ok(CounterClient::offer(&self.worker, Count::new(100, &Rc::default()))?)
    }

    fn greed(&self, shop: &str) -> Answer<(u32, String)> {
        let shop = self.shop(shop);
        let mut bought = Vec::new();
        let why = loop {
            match shop.counter(0) {
                Ok(counter) => bought.push(counter),
                Err(error) => break format!("{:?}", error.call().unwrap().why),
            }
        };
        for counter in &bought {
            counter.add(1)?;
        }
        let count = u32::try_from(bought.len()).unwrap();
        Ok((count, why))
    }
}

/// The whole life of a shop, or of a customer.
pub fn main(role: &str) -> ExitCode {
    if role.starts_with("shop") {
        let store = |worker: &Worker| Store { worker: worker.clone(), alive: Rc::default() };
        return cloison_worker::run(|worker| worker.serve(ShopServer::new(store(worker))));
    }
    let customer =
        |worker: &Worker| Customer { worker: worker.clone(), shops: RefCell::default(), bought: RefCell::default() };
    cloison_worker::run(|worker| worker.serve(BuyerServer::new(customer(worker))))
}

/// Everybody may use what there is, and hand counters on; but the poor get none.
fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let grant = |contract: &Contract| Grant { rights: contract.rights(), back: Rights::default() };
    match ask.interface.as_str() {
        "counter" if ask.from.as_str().contains("poor") => None,
        "counter" => Some(Grant { rights: COUNTER.rights().delegable(), back: Rights::default() }),
        "shop" => Some(grant(&SHOP)),
        "buyer" => Some(grant(&BUYER)),
        _ => None,
    }
}

struct Scene {
    host: Host,
    shop: ShopClient<HostLink>,
    buyer: BuyerClient<HostLink>,
}

fn scene(model: Model, buyer: &str) -> Scene {
    let host = Host::new(model, policy);
    host.spawn("shop");
    host.spawn(buyer);
    let (shop, buyer) =
        (ShopClient::bind(&*host.broker, "shop").unwrap(), BuyerClient::bind(&*host.broker, buyer).unwrap());
    Scene { host, shop, buyer }
}

impl Scene {
    fn eventually_alive(&self, count: u32) {
        eventually("so many are left", || (self.shop.alive() == Ok(count)).then_some(()));
    }
}

fn live_as_long_as_a_link_leads_to_them(model: Model) {
    let scene = scene(model, "buyer");
    let (one, two) = (scene.shop.counter(10).unwrap(), scene.shop.counter(20).unwrap());
    assert_eq!((one.add(1), two.add(1), one.add(1)), (Ok(11), Ok(21), Ok(12)));
    assert_eq!(scene.shop.alive(), Ok(2));
    let view = scene.host.broker.explain(HOST, "shop").into_iter().find(|view| view.interface.as_str() == "counter");
    assert_eq!(view.unwrap().asked_by.as_str(), HOST, "it is as if it had asked");
    drop(one);
    scene.eventually_alive(1);
    assert_eq!(two.add(1), Ok(22));
    for round in 0..50 {
        assert_eq!(scene.buyer.buy("shop", round), Ok(round + 1));
        assert_eq!(scene.buyer.count(), Ok(round + 2));
    }
    scene.eventually_alive(2);
    drop(two);
    scene.buyer.forget().unwrap();
    scene.eventually_alive(0);
}

fn are_handed_on(model: Model) {
    let scene = scene(model, "buyer");
    scene.host.spawn("buyer-two");
    let two = BuyerClient::bind(&*scene.host.broker, "buyer-two").unwrap();
    for round in 0..20 {
        scene.buyer.buy("shop", 0).unwrap();
        let copy = scene.buyer.show().unwrap();
        assert_eq!((copy.add(1), scene.buyer.count(), copy.add(1)), (Ok(2), Ok(3), Ok(4)), "in round {round}");
        let sold = scene.buyer.sell().unwrap();
        assert_eq!(sold.add(1), Ok(5));
        assert_eq!(two.take(sold), Ok(6));
        assert_eq!(copy.add(1), Ok(7));
        two.forget().unwrap();
        assert_eq!(copy.add(1), Ok(8), "the copy holds it");
        scene.eventually_alive(1);
        drop(copy);
        scene.eventually_alive(0);
    }
    let copy = scene.buyer.buy("shop", 0).and_then(|_| scene.buyer.show()).unwrap();
    let error = two.take(copy).unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::Failed(Failure::Denied(Denial::Delegation)), "a copy is not");
    scene.buyer.forget().unwrap();
    scene.eventually_alive(0);
}

fn are_called_back(model: Model) {
    let scene = scene(model, "buyer");
    scene.host.spawn("buyer-two");
    let two = BuyerClient::bind(&*scene.host.broker, "buyer-two").unwrap();
    let made = scene.buyer.make().unwrap();
    assert_eq!(two.take(made), Ok(101));
    for count in 102..120 {
        assert_eq!(two.count(), Ok(count));
    }
}

fn end_with_their_holder(model: Model) {
    let mut scene = scene(model, "buyer");
    scene.buyer.buy("shop", 5).unwrap();
    assert_eq!(scene.shop.alive(), Ok(1));
    assert!(scene.host.broker.kill("buyer", "it is time"));
    scene.host.death("buyer");
    scene.eventually_alive(0);
}

fn end_with_their_maker(model: Model) {
    let mut scene = scene(model, "buyer");
    scene.buyer.buy("shop", 5).unwrap();
    let mine = scene.shop.counter(1).unwrap();
    assert!(scene.shop.end().is_err());
    scene.host.death("shop");
    let gone = |answer: Answer<u32>| match answer.unwrap_err().call().unwrap().why.clone() {
        CallFailure::PeerRestarted(_) | CallFailure::Gone(Gone::Closed) => {}
        CallFailure::Failed(Failure::Remote { text, .. }) => assert!(text.as_str().contains("crashed"), "{text}"),
        other => panic!("{other:?}"),
    };
    gone(mine.add(1));
    gone(scene.buyer.count());
}

fn are_given_as_the_policy_says(model: Model) {
    let scene = scene(model, "poor-buyer");
    let error = scene.buyer.buy("shop", 1).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("may not be handed on"), "{said}");
    scene.eventually_alive(0);
    // What somebody may hand on, he may hand on to the poor, too.
    let mine = scene.shop.counter(1).unwrap();
    assert_eq!(scene.buyer.take(mine), Ok(2));
    assert_eq!(scene.buyer.count(), Ok(3));
    let made = scene.buyer.make().unwrap();
    assert_eq!(made.add(1), Ok(101));
    let error = scene.buyer.take(made).unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::Failed(Failure::Denied(Denial::Delegation)), "its own");
}

fn are_only_so_many(model: Model) {
    let scene = scene(model, "buyer");
    let denied = format!("{:?}", CallFailure::Failed(Failure::Denied(Denial::Links)));
    for _ in 0..3 {
        let (count, why) = scene.buyer.greed("shop").unwrap();
        assert_eq!((count as usize, why), (OFFERS_PER_PAIR, denied.clone()));
        // On a direct link the next request may overtake the word that the last round's links are closed.
        scene.eventually_alive(0);
    }
    let counters: Vec<_> = std::iter::from_fn(|| scene.shop.counter(0).ok()).collect();
    assert_eq!(counters.len(), OFFERS_PER_PAIR, "the host, too");
}

fn are_revoked(model: Model) {
    let scene = scene(model, "buyer");
    scene.buyer.buy("shop", 1).unwrap();
    let copy = scene.buyer.show().unwrap();
    let views = scene.host.broker.explain("buyer", "shop");
    let view = views.iter().find(|view| view.interface.as_str() == "counter").unwrap();
    scene.host.broker.link(view.id).revoke().wait();
    assert!(matches!(copy.add(1).unwrap_err().call().unwrap().why, CallFailure::Gone(_)));
    assert!(scene.buyer.count().is_err());
    scene.eventually_alive(0);
}
