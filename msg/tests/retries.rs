//! When a call is made again, and what is counted then, without any process.

mod loopback;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::contract::{Answers, Client, RETRIES_MAX, Stub, serving};
use cloison_msg::{Answer, CallError, CallFailure, Failure, Gone, Name, interface};
use loopback::{Loopback, Wire};

#[interface]
trait Shelf {
    #[idempotent]
    #[deadline("100ms")]
    #[limit(request = 16)]
    fn put(&self, at: u32, what: &str, rest: Vec<u8>) -> Answer<u32>;
    fn push(&self, what: &str) -> Answer<u32>;
    #[optional]
    fn sort(&self) -> Answer<()>;
}

#[derive(Default)]
struct Wood(Cell<u32>);

impl Shelf for Wood {
    fn put(&self, at: u32, what: &str, rest: Vec<u8>) -> Answer<u32> {
        assert!(!serving::is_retry(), "nobody says so here");
        self.0.set(self.0.get() + 1);
        Ok(at + u32::try_from(what.len() + rest.len()).expect("short"))
    }

    fn push(&self, what: &str) -> Answer<u32> {
        self.put(0, what, Vec::new())
    }

    fn sort(&self) -> Answer<()> {
        Ok(())
    }
}

fn shelf() -> (ShelfClient<Loopback>, Rc<Wire>) {
    let wire = Rc::new(Wire::default());
    let loopback = Loopback::new(ShelfServer::new(Wood::default()), Rc::clone(&wire));
    (ShelfClient::over(Stub::bound(Name::new("shelf").expect("it is a name"), &SHELF, loopback, 2)), wire)
}

fn error<T>(answer: Answer<T>) -> CallError {
    CallError::from(answer.map(drop).expect_err("its server died"))
}

const BRIEF: Duration = Duration::from_millis(10);

#[test]
fn arguments_are_the_same_again() {
    let (shelf, wire) = shelf();
    assert!(SHELF.methods()[0].idempotent && !SHELF.methods()[1].idempotent);
    for deaths in 0..=RETRIES_MAX {
        wire.deaths.set((deaths, BRIEF));
        wire.retries.set(0);
        assert_eq!(shelf.put(40, "x", vec![1]), Ok(42));
        assert_eq!(wire.retries.get(), u32::from(deaths > 0), "the one that was served was said to be a retry");
        wire.deaths.set((deaths, BRIEF));
        assert_eq!(shelf.start().put(40, "x", vec![1]).wait(), Ok(42));
        wire.deaths.set((deaths, BRIEF));
        let mut answers = Answers::new();
        answers.add((), shelf.start().put(40, "xy", vec![]));
        assert_eq!(answers.next(), Some(((), Ok(42))));
        assert_eq!(answers.next(), None);
    }
    assert!(shelf.serves("sort"), "the successor has more methods, and the client knows");
}

#[test]
fn what_is_not_idempotent_or_not_bound_is_not_made_again() {
    let (shelf, wire) = shelf();
    let unbound = ShelfClient::over(Stub::new(shelf.link(), 2));
    for call in [&|| shelf.push("x"), &|| unbound.put(1, "x", vec![]) as _] as [&dyn Fn() -> Answer<u32>; 2] {
        wire.deaths.set((1, BRIEF));
        let error = error(call());
        assert_eq!((error.why, error.after), (CallFailure::PeerRestarted(Gone::Crashed("signal 9".into())), BRIEF));
        assert_eq!(wire.deaths.get().0, 0, "it was made once");
    }
    assert_eq!(wire.retries.get(), 0);
}

#[test]
fn attempts_have_an_end_and_one_deadline() {
    let (shelf, wire) = shelf();
    wire.deaths.set((RETRIES_MAX + 1, BRIEF));
    let ended = error(shelf.put(1, "x", vec![]));
    assert_eq!(ended.after, BRIEF * (RETRIES_MAX + 1), "since the first attempt");
    assert!(matches!(ended.why, CallFailure::PeerRestarted(_)));
    // What the first has taken the second has not.
    wire.deaths.set((1, Duration::from_millis(70)));
    assert_eq!(shelf.put(1, "x", vec![]), Ok(2));
    assert_eq!(wire.within.get(), Some(Duration::from_millis(30)));
    wire.deaths.set((1, Duration::from_millis(100)));
    let late = error(shelf.start().put(1, "x", vec![]).wait());
    assert_eq!((late.why, late.after), (CallFailure::Deadline, Duration::from_millis(100)));
    // Nor is anything done again after any other failure.
    wire.deaths.set((1, BRIEF));
    wire.fail_next(Failure::NoSuchMethod);
    assert_eq!(error(shelf.put(1, "x", vec![])).why, CallFailure::Failed(Failure::NoSuchMethod));
    wire.reply_next(&[]);
    assert!(matches!(error(shelf.put(1, "x", vec![])).why, CallFailure::Unreadable(_)));
    // What cannot be sent is not kept either.
    wire.deaths.set((1, BRIEF));
    assert!(matches!(error(shelf.start().put(1, "x", vec![0; 17]).wait()).why, CallFailure::Unsendable(_)));
    assert!(matches!(error(shelf.put(1, "x", vec![0; 17])).why, CallFailure::Unsendable(_)));
}
