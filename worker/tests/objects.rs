//! Links in contracts, and objects that are held by links.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use cloison_msg::contract::{Client, Here, Offer, Stub};
use cloison_msg::{CallFailure, Failure, Route};
use cloison_worker::{Answer, Link, Passed, Worker, interface};
use world::World;

over_both_routes![
    an_object_lives_as_long_as_a_link_leads_to_it,
    copies_lead_to_the_same_object,
    arguments_are_moved_or_copied,
    an_object_is_called_back_while_its_maker_waits,
    what_was_never_given_away_ends,
    a_link_to_something_else_is_told_where_it_comes,
    what_a_failed_method_would_have_given_is_closed,
];

#[interface]
trait Counter {
    fn add(&self, by: u32) -> Answer<u32>;
}

#[interface(version = 2)]
trait Shop<L> {
    /// A counter of the caller's own.
    fn counter(&self, from: u32) -> Answer<CounterClient<L>>;
    /// Two at once, among other things.
    fn pair(&self) -> Answer<(u8, CounterClient<L>, CounterClient<L>), String>;
    /// Adds to somebody's counter, by a link that becomes the shop's.
    fn keep(&self, counter: CounterClient<L>) -> Answer<u32>;
    /// The same, by a copy that ends with the call.
    fn use_once(&self, name: &str, counter: &CounterClient<L>) -> Answer<u32>;
    /// Adds to the counter that was kept.
    fn again(&self) -> Answer<u32>;
    /// Another shop.
    fn branch(&self) -> Answer<ShopClient<L>>;
}

/// Tells when it is dropped.
struct Count {
    count: Cell<u32>,
    ended: Sender<u32>,
}

impl Counter for Count {
    fn add(&self, by: u32) -> Answer<u32> {
        self.count.set(self.count.get() + by);
        Ok(self.count.get())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let _ = self.ended.send(self.count.get());
    }
}

/// A shop wherever objects can be made.
struct Store<O: Offer> {
    here: O,
    kept: RefCell<Option<CounterClient<O::Carrier>>>,
    ended: Sender<u32>,
}

impl<O: Offer> Store<O> {
    fn new(here: O, ended: Sender<u32>) -> Self {
        Self { here, kept: RefCell::default(), ended }
    }

    fn make(&self, from: u32) -> Answer<CounterClient<O::Carrier>> {
        Ok(CounterClient::offer(&self.here, Count { count: Cell::new(from), ended: self.ended.clone() })?)
    }
}

impl<O: Offer + Clone + 'static> Shop<O::Carrier> for Store<O> {
    fn counter(&self, from: u32) -> Answer<CounterClient<O::Carrier>> {
        self.make(from)
    }

    fn pair(&self) -> Answer<(u8, CounterClient<O::Carrier>, CounterClient<O::Carrier>), String> {
        let own = |error| Err(format!("{error}").into());
        match (self.make(1), self.make(2)) {
            (Ok(one), Ok(two)) => Ok((7, one, two)),
            (Err(error), _) | (_, Err(error)) => own(error),
        }
    }

    fn keep(&self, counter: CounterClient<O::Carrier>) -> Answer<u32> {
        let count = counter.add(1)?;
        self.kept.replace(Some(counter));
        Ok(count)
    }

    fn use_once(&self, name: &str, counter: &CounterClient<O::Carrier>) -> Answer<u32> {
        counter.add(u32::try_from(name.len()).unwrap())
    }

    fn again(&self) -> Answer<u32> {
        self.kept.borrow().as_ref().unwrap().add(1)
    }

    fn branch(&self) -> Answer<ShopClient<O::Carrier>> {
        Ok(ShopClient::offer(&self.here, Store::new(self.here.clone(), self.ended.clone()))?)
    }
}

fn serve(world: &mut World) -> Receiver<u32> {
    let (ended, ends) = channel();
    world.worker("shop", move |worker| worker.serve(ShopServer::new(Store::new(worker.clone(), ended))));
    ends
}

fn shop(world: &mut World) -> (Worker, ShopClient<Link>, Receiver<u32>) {
    let ends = serve(world);
    let worker = world.here("client");
    let shop = ShopClient::bind(&worker, "shop").unwrap();
    (worker, shop, ends)
}

/// How long a test waits for an object's end, however busy the machine is.
const SOON: Duration = Duration::from_secs(60);

fn an_object_lives_as_long_as_a_link_leads_to_it(route: Route) {
    let mut world = World::new(route);
    let (_worker, shop, ends) = shop(&mut world);
    let (one, two) = (shop.counter(10).unwrap(), shop.counter(20).unwrap());
    assert_eq!((one.add(1), two.add(1), one.add(1)), (Ok(11), Ok(21), Ok(12)), "each has a state of its own");
    let clone = one.clone();
    drop(one);
    assert_eq!(clone.add(1), Ok(13), "a handle is left");
    assert!(ends.try_recv().is_err());
    drop(clone);
    assert_eq!(ends.recv_timeout(SOON), Ok(13), "at once, not with the next request");
    assert_eq!(two.add(1), Ok(22));
    let (mark, three, four) = shop.pair().unwrap();
    assert_eq!((mark, three.add(0), four.add(0)), (7, Ok(1), Ok(2)));
    drop((two, three, four));
    let mut ended: Vec<_> = (0..3).map(|_| ends.recv_timeout(SOON).unwrap()).collect();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 22]);
    for round in 0..100 {
        assert_eq!(shop.counter(round).unwrap().add(1), Ok(round + 1));
        assert_eq!(ends.recv_timeout(SOON), Ok(round + 1), "what has ended leaves room");
    }
    let branch = shop.branch().unwrap();
    assert_eq!(branch.counter(5).unwrap().add(5), Ok(10), "an object gives objects");
}

fn copies_lead_to_the_same_object(route: Route) {
    let mut world = World::new(route);
    let (_worker, shop, ends) = shop(&mut world);
    let (other_ended, _other_ends) = channel();
    world.worker("other", move |worker| worker.serve(ShopServer::new(Store::new(worker.clone(), other_ended))));
    let other = ShopClient::bind(shop.link().worker(), "other").unwrap();
    let counter = shop.counter(10).unwrap();
    assert_eq!(other.use_once("four", &counter), Ok(14), "the other calls the first one's object");
    assert_eq!(counter.add(1), Ok(15));
    assert_eq!(other.keep(counter.clone().shared()), Ok(16));
    drop(counter);
    assert_eq!(other.again(), Ok(17), "it lives as long as the copy");
    assert!(ends.try_recv().is_err());
    let next = shop.counter(0).unwrap();
    assert_eq!(other.keep(next), Ok(1));
    assert_eq!(ends.recv_timeout(SOON), Ok(17));
    assert_eq!(other.again(), Ok(2), "a link that was given away goes on at its receiver");
}

fn arguments_are_moved_or_copied(route: Route) {
    let mut world = World::new(route);
    let (_worker, shop, ends) = shop(&mut world);
    let mine = CounterClient::offer(shop.link().worker(), Count { count: Cell::new(0), ended: channel().0 }).unwrap();
    assert_eq!(shop.keep(mine), Ok(1), "the caller's own object is called back");
    assert!(ends.try_recv().is_err());
}

fn an_object_is_called_back_while_its_maker_waits(route: Route) {
    let mut world = World::new(route);
    let (_worker, shop, _ends) = shop(&mut world);
    let (ended, own_ends) = channel();
    let mine = CounterClient::offer(shop.link().worker(), Count { count: Cell::new(40), ended }).unwrap();
    assert_eq!(shop.keep(mine), Ok(41));
    for count in 42..50 {
        assert_eq!(shop.again(), Ok(count));
    }
    assert!(own_ends.try_recv().is_err());
    let next = CounterClient::offer(shop.link().worker(), Count { count: Cell::new(0), ended: channel().0 }).unwrap();
    assert_eq!(shop.keep(next), Ok(1));
    let _ = shop.again();
    assert_eq!(own_ends.recv_timeout(SOON), Ok(49));
}

fn what_was_never_given_away_ends(route: Route) {
    let mut world = World::new(route);
    let worker = world.here("alone");
    let (ended, ends) = channel();
    let unused = CounterClient::offer(&worker, Count { count: Cell::new(5), ended }).unwrap();
    drop(unused);
    while ends.try_recv().is_err() {
        worker.serve_once(Duration::from_millis(1)).unwrap();
    }
}

/// The same name, and another meaning.
mod elsewhere {
    use cloison_worker::{Answer, interface};

    #[interface]
    pub trait Counter {
        fn add(&self, by: &str) -> Answer<u32>;
    }

    #[interface(name = "shop", version = 2)]
    pub trait Shop<L> {
        fn counter(&self, from: u32) -> Answer<CounterClient<L>>;
        fn pair(&self) -> Answer<(u8, CounterClient<L>, CounterClient<L>), String>;
        fn keep(&self, counter: CounterClient<L>) -> Answer<u32>;
    }
}

fn a_link_to_something_else_is_told_where_it_comes(route: Route) {
    use elsewhere::Shop as _;
    let mut world = World::new(route);
    let ends = serve(&mut world);
    let worker = world.here("client");
    let shop: elsewhere::ShopClient<Link> = elsewhere::ShopClient::bind(&worker, "shop").unwrap();
    let error = shop.counter(4).unwrap_err();
    let CallFailure::Unreadable(why) = &error.call().unwrap().why else { panic!("{error}") };
    let said = "this side means \"counter\" version 0, shop serves \"counter\" version 0: method 0";
    assert!(why.as_str().contains(said), "{why}");
    assert_eq!(ends.recv_timeout(SOON), Ok(4), "nobody has it, so it has ended");
}

fn what_a_failed_method_would_have_given_is_closed(route: Route) {
    let mut world = World::new(route);
    let (_worker, shop, ends) = shop(&mut world);
    let counter = shop.counter(1).unwrap();
    let gone = ShopClient::over(Stub::new(counter.link(), 6));
    // Another interface's numbers: what it would have given, nobody gets.
    let error = gone.keep(shop.counter(2).unwrap()).unwrap_err();
    assert!(matches!(error.call().unwrap().why, CallFailure::Failed(Failure::NoSuchMethod)), "{error}");
    assert_eq!(ends.recv_timeout(SOON), Ok(2));
    drop((counter, gone));
    assert_eq!(ends.recv_timeout(SOON), Ok(1));
}

/// The same implementation, called where it is.
#[test]
fn a_shop_in_the_same_process_is_the_same() {
    let here = Here::<Passed>::new();
    let (ended, ends) = channel();
    let shop = ShopClient::offer(&here, Store::new(here.clone(), ended)).unwrap();
    let counter = shop.counter(10).unwrap();
    assert_eq!((counter.add(1), counter.add(1)), (Ok(11), Ok(12)));
    assert_eq!(shop.use_once("four", &counter), Ok(16));
    assert_eq!(shop.keep(counter), Ok(17));
    assert_eq!(shop.again(), Ok(18));
    assert!(ends.try_recv().is_err());
    let branch = shop.branch().unwrap();
    assert_eq!(shop.keep(branch.counter(1).unwrap()), Ok(2));
    assert_eq!(ends.recv(), Ok(18));
    assert_eq!(shop.pair().unwrap().0, 7);
}
