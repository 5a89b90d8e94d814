//! Objects of the host's, with the shipped driver and a shipped worker on one thread: what is over before what.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::contract::{Client, Stub};
use cloison_broker::msg::{CallFailure, Contract, Denial, Failure, Gone, Interface, Message, RpcIndex};
use cloison_broker::{Answer, Ask, Grant, HostLink, Item, Model, interface};
use cloison_worker::{Link, Worker};

/// How often everybody has a turn until what was begun is over.
const ROUNDS: usize = 10;

#[interface]
trait Lamp {
    #[oneway]
    fn turn(&self, by: u32) -> Answer<()>;
}

#[interface]
trait Hand<L> {
    fn take(&self, lamp: LampClient<L>) -> Answer<()>;
    fn look(&self, lamp: &LampClient<L>) -> Answer<()>;
    fn turn_and_drop(&self, by: u32) -> Answer<()>;
}

struct Light(Arc<AtomicU32>);

impl Lamp for Light {
    fn turn(&self, by: u32) -> Answer<()> {
        self.0.fetch_add(by, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Default)]
struct Grip(RefCell<Option<LampClient<Link>>>);

impl Hand<Link> for Grip {
    fn take(&self, lamp: LampClient<Link>) -> Answer<()> {
        self.0.replace(Some(lamp));
        Ok(())
    }

    fn look(&self, _: &LampClient<Link>) -> Answer<()> {
        Ok(())
    }

    fn turn_and_drop(&self, by: u32) -> Answer<()> {
        self.0.take().unwrap().turn(by)
    }
}

fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let contract: &Contract = if ask.interface.as_str() == "lamp" { &LAMP } else { &HAND };
    Some(Grant { rights: contract.rights(), ..Grant::default() })
}

/// A host, its worker, and a link from the one to the other.
struct Scene {
    harness: Harness,
    worker: Worker,
    hand: HandClient<HostLink>,
}

impl Scene {
    fn new(model: Model) -> Self {
        let mut harness = Harness::new(policy, model).unwrap();
        let control = harness.seat("hand").unwrap();
        let worker = harness.during(|| Worker::over(control).unwrap());
        worker.provide(HandServer::new(Grip::default()));
        let open = harness.open("hand", &HAND).unwrap();
        let hand = Client::over(Stub::new(open, 3));
        Self { harness, worker, hand }
    }

    /// Everybody does what there is to do, but for what comes to the host.
    fn act(&mut self) {
        for _ in 0..ROUNDS {
            self.harness.settle();
            while self.worker.serve_once(Duration::ZERO).unwrap() {}
        }
    }

    fn message(&mut self) -> Option<cloison_broker::Incoming> {
        match self.harness.heard()? {
            Item::Message(message) => Some(message),
            other => panic!("{other:?}"),
        }
    }
}

/// What has come of it: it must be over.
fn now<F: Future>(future: &mut Pin<&mut F>) -> F::Output {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is not over"),
    }
}

#[test]
fn the_last_message_is_served_and_then_the_object_ends() {
    for model in [Model::Broker, Model::Orchestrator] {
        let mut scene = Scene::new(model);
        let turned = Arc::new(AtomicU32::new(0));
        let (objects, light) = (scene.harness.objects(), Light(turned.clone()));
        let lamp = scene.harness.during(|| LampClient::offer(&objects, light).unwrap());
        let mut took = pin!(scene.hand.start().take(lamp));
        scene.act();
        assert_eq!(now(&mut took), Ok(()));
        let mut turning = pin!(scene.hand.start().turn_and_drop(3));
        scene.act();
        assert_eq!(now(&mut turning), Ok(()));
        // The link is gone, and what came over it is not.
        assert_eq!(scene.harness.explain().len(), 1);
        let message = scene.message().unwrap();
        assert!(message.is_for_object() && Arc::strong_count(&turned) == 2);
        assert!(message.serve_object().is_none());
        assert_eq!(
            (turned.load(Ordering::Relaxed), Arc::strong_count(&turned)),
            (3, 2),
            "it ends where the inbox is read"
        );
        assert!(scene.message().is_none());
        assert_eq!(Arc::strong_count(&turned), 1);
    }
}

#[test]
fn what_is_for_no_object_comes_back() {
    const LAMP_OF_OLD: Interface = Interface::new("lamp", &["turn"]);
    let mut scene = Scene::new(Model::Broker);
    let worker = scene.worker.clone();
    let link = scene.harness.during(|| worker.open("host", &LAMP_OF_OLD).unwrap());
    let mut message = Message::new();
    message.append(&1u32).unwrap();
    link.oneway(RpcIndex(0), &mut message).unwrap();
    scene.act();
    let back = scene.message().unwrap().serve_object().unwrap();
    assert_eq!(back.value::<u32>(), Ok(1));
}

/// Whoever does otherwise hears what to do, and may still do it.
#[test]
fn what_was_just_offered_is_given_by_value() {
    let is_denied = |answer: Answer<()>| {
        let error = answer.unwrap_err();
        assert_eq!(error.call().unwrap().why, CallFailure::Failed(Failure::Denied(Denial::Offered)));
        assert!(error.to_string().contains("give it by value"), "{error}");
    };
    for model in [Model::Broker, Model::Orchestrator] {
        let mut scene = Scene::new(model);
        let (objects, worker) = (scene.harness.objects(), scene.worker.clone());
        let lamp = scene.harness.during(|| LampClient::offer(&objects, Light(Arc::default())).unwrap());
        let [mut by_reference, mut shared] =
            [Box::pin(scene.hand.start().look(&lamp)), Box::pin(scene.hand.start().take(lamp.clone().shared()))];
        scene.act();
        is_denied(now(&mut by_reference.as_mut()));
        is_denied(now(&mut shared.as_mut()));
        let mut took = pin!(scene.hand.start().take(lamp));
        scene.act();
        assert_eq!(now(&mut took), Ok(()));
        scene.harness.during(|| {
            let lamp = LampClient::offer(&worker, Light(Arc::default())).unwrap();
            let hand: HandClient<Link> = Client::over(Stub::new(worker.open("host", &HAND).unwrap(), 3));
            is_denied(hand.look(&lamp));
        });
    }
}

#[test]
fn what_could_not_be_offered_is_no_method() {
    let scene = Scene::new(Model::Broker);
    let objects = scene.harness.objects();
    drop(scene);
    let error = LampClient::offer(&objects, Light(Arc::default())).map(drop).unwrap_err();
    assert_eq!((error.rpc, error.why.clone()), (RpcIndex::OFFER, CallFailure::Gone(Gone::BrokerEnded)));
    let said = error.to_string();
    assert!(said.starts_with("offering an object of host failed after "), "{said}");
    assert!(said.ends_with(": the broker has ended"), "{said}");
}

/// Nobody serves what is never given; nor does it stay.
#[test]
fn a_link_that_nobody_was_given_takes_its_object_along() {
    let mut scene = Scene::new(Model::Broker);
    let turned = Arc::new(AtomicU32::new(0));
    let (objects, light) = (scene.harness.objects(), Light(turned.clone()));
    let lamp = scene.harness.during(|| LampClient::offer(&objects, light).unwrap());
    assert_eq!(scene.harness.explain().len(), 2);
    drop(lamp);
    scene.act();
    assert!(scene.message().is_none());
    assert_eq!((scene.harness.explain().len(), Arc::strong_count(&turned)), (1, 1));
}
