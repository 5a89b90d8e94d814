//! That the failure of a call says what the method is called, in whatever way a client made the call.

#[allow(dead_code, reason = "each test program uses its part")]
mod loopback;

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Answers, Client, Here, HereLink, Never, RETRIES_MAX, Stream, Stub};
use cloison_msg::{Answer, CallError, CallFailure, Failure, MethodError, MethodName, Name, RpcIndex, interface};
use loopback::{Loopback, Passed, Wire};

/// Every way in which something can be asked.
#[interface(name = "ways")]
trait EachWay {
    #[limit(request = 4)]
    fn plain(&self, text: &str) -> Answer<String>;
    #[idempotent]
    #[limit(request = 4)]
    fn again(&self, text: &str) -> Answer<()>;
    #[oneway]
    #[limit(request = 4)]
    fn told(&self, text: &str) -> Answer<()>;
    fn items(&self) -> Stream<String>;
    fn fed(&self, items: Stream<u32>) -> Answer<u32>;
    fn both(&self, items: Stream<u32>) -> Stream<u32>;
}

/// Its own calls fail, so it says.
struct Fails;

/// What somebody's call by hand has failed of.
fn by_hand(rpc: u16) -> CallError {
    let peer = Name::new("deep").expect("it is a name");
    CallError::new(peer, RpcIndex(rpc), Duration::ZERO, CallFailure::Deadline)
}

impl EachWay for Fails {
    fn plain(&self, _: &str) -> Answer<String> {
        Err(by_hand(9).into())
    }

    fn again(&self, _: &str) -> Answer<()> {
        Err(by_hand(9).into())
    }

    fn told(&self, _: &str) -> Answer<()> {
        Ok(())
    }

    fn items(&self) -> Stream<String> {
        Stream::failed(by_hand(9))
    }

    fn fed(&self, mut items: Stream<u32>) -> Answer<u32> {
        items.try_for_each(|item| item.map(drop))?;
        Err(by_hand(9).into())
    }

    fn both(&self, items: Stream<u32>) -> Stream<u32> {
        Stream::new(items.chain([Err(by_hand(9).into())]))
    }
}

fn here() -> EachWayClient<HereLink<Passed>> {
    EachWayClient::offer(&Here::new(), Fails).expect("there is room")
}

fn error<T>(answer: Answer<T>) -> CallError {
    match answer.map(drop) {
        Err(MethodError::Call(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_named<T>(answer: Answer<T>, method: &'static str) {
    let error = error(answer);
    assert_eq!(error.method, Some(&MethodName { interface: "ways", method }), "{error}");
    assert_eq!(error.rpc, EACH_WAY.method(method));
    assert!(error.to_string().contains(&format!(", method {method} of ways, failed after ")), "{error}");
}

#[test]
fn calls_are_named() {
    let ways = here();
    for text in ["", "too long"] {
        is_named(ways.plain(text), "plain");
        is_named(ways.start().plain(text).wait(), "plain");
        is_named(ways.start().plain(text).view(str::len), "plain");
        let mut answers = Answers::new();
        answers.add((), ways.start().plain(text));
        is_named(answers.next().expect("it was begun").1, "plain");
        is_named(ways.again(text), "again");
        is_named(ways.start().again(text).wait(), "again");
    }
    is_named(ways.told("too long"), "told");
    is_named(ways.start().told("too long").wait(), "told");
}

#[test]
fn streams_are_named() {
    let ways = here();
    let first = |mut stream: Stream<u32>| stream.next().expect("an error is an item");
    is_named(ways.items().next().expect("an error is an item"), "items");
    is_named(ways.start().items().view(str::len).expect("an error is an item"), "items");
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(item)) = ways.start().items().poll_next(&mut context) else { panic!("nobody waits here") };
    is_named(item, "items");
    is_named(ways.fed(Stream::of([1])), "fed");
    is_named(first(ways.both(Stream::of([]))), "both");
    let (feeder, call) = ways.start().fed();
    feeder.finish();
    is_named(call.wait(), "fed");
    let (feeder, mut items) = ways.start().both();
    feeder.finish();
    is_named(items.next().expect("an error is an item"), "both");
}

/// A call that is fed fails of what its feed has failed of.
#[test]
fn what_another_call_has_failed_of_keeps_its_name() {
    let ways = here();
    let broken = || Stream::new([Err(by_hand(9).into())]);
    assert_eq!(error(ways.fed(broken())), by_hand(9));
    let named = error(ways.plain(""));
    let broken = Stream::new([Err(MethodError::<Never>::Call(named.clone()))]);
    assert_eq!(error(ways.fed(broken)), named);
}

#[test]
fn what_is_made_again_is_named() {
    let wire = Rc::new(Wire::default());
    let loopback = Loopback::new(EachWayServer::new(Fails), Rc::clone(&wire));
    let ways = EachWayClient::over(Stub::bound(Name::new("loopback").expect("it is a name"), &EACH_WAY, loopback, 6));
    for deaths in [0, 1, RETRIES_MAX + 1] {
        let die = || wire.deaths.set((deaths, Duration::from_millis(1)));
        die();
        is_named(ways.again(""), "again");
        die();
        is_named(ways.start().again("").wait(), "again");
    }
    is_named(ways.again("too long"), "again");
}

#[test]
fn calls_by_hand_say_the_number() {
    assert_eq!(by_hand(9).to_string(), "call of deep, method 9, failed after 0.0ns: deadline passed without an answer");
    let wire = Rc::new(Wire::default());
    let loopback = Loopback::new(EachWayServer::new(Fails), Rc::clone(&wire));
    wire.fail_next(Failure::NoSuchMethod);
    let asked: Result<u16, BindError<Never>> =
        bind::ask(&loopback, &Name::new("loopback").expect("it is a name"), &EACH_WAY, None);
    let said = asked.expect_err("there is no such method").to_string();
    assert_eq!(
        said,
        "what it serves could not be asked: call of loopback, asking for its contract, failed after 0.0ns: \
         no such method"
    );
}
