//! Objects in the caller's own process, where a host would await them.

#[allow(dead_code, reason = "each test program uses its part")]
#[path = "loopback/mod.rs"]
mod loopback;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cloison_msg::contract::{Here, Stream};
use cloison_msg::{Answer, CallFailure, RightsFlags, interface};
use loopback::Passed;
use serde::{Deserialize, Serialize};

/// What a runtime's own type of this name is to the macro.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct BufferRef(u16);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Seen {
    Picture(BufferRef),
}

#[interface]
trait Pictures {
    /// They say so.
    fn named(&self, count: u16) -> Stream<(u8, Option<BufferRef>)>;
    fn none(&self) -> Stream<u8>;
}

#[interface]
trait Hidden {
    #[buffers]
    fn seen(&self, count: u16) -> Stream<Seen>;
}

#[interface]
trait Plain {
    fn show(&self, picture: BufferRef) -> Answer<u8>;
}

struct Shelf;

impl Pictures for Shelf {
    fn named(&self, count: u16) -> Stream<(u8, Option<BufferRef>)> {
        Stream::of((0..count).map(|at| (7, Some(BufferRef(at)))))
    }

    /// Of what it needs there is none.
    fn none(&self) -> Stream<u8> {
        Stream::of(0..9).ready_when(|| false)
    }
}

/// The outcome of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn items_of_an_object_here_can_be_awaited() {
    let shelf = PicturesClient::offer(&Here::<Passed>::new(), Shelf).expect("there is room");
    let mut items = shelf.start().named(3);
    for at in 0..3 {
        assert_eq!(at_once(items.next_async()), Some(Ok((7, Some(BufferRef(at))))));
    }
    assert_eq!(at_once(items.next_async()), None);
}

/// Whoever would have to give back what it needs is the one who asks.
#[test]
fn what_can_never_be_ready_here_is_an_error() {
    let shelf = PicturesClient::offer(&Here::<Passed>::new(), Shelf).expect("there is room");
    let error = at_once(shelf.start().none().next_async()).expect("an item").expect_err("is none");
    assert_eq!(error.call().expect("of the call").why, CallFailure::Overloaded);
}

#[test]
fn who_gives_buffers_has_the_right_to_lend() {
    let flags = [PICTURES.answer_rights().flags, HIDDEN.answer_rights().flags, PLAIN.answer_rights().flags];
    assert_eq!(flags, [RightsFlags::LEND, RightsFlags::LEND, RightsFlags::empty()]);
    assert!(PLAIN.rights().flags.contains(RightsFlags::LEND) && !HIDDEN.rights().flags.contains(RightsFlags::LEND));
}
