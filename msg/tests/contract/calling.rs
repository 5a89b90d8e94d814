//! What a client's calls bring.

use std::rc::Rc;
use std::time::Duration;

use cloison_msg::contract::{Answers, Client, Placed, Stub};
use cloison_msg::{Answer, CallFailure, Failure, MethodError, interface};

use super::kinds::{All, DecodeError, FORMAT, Format, Kinds, KindsClient, Packet, client, pipe};
use crate::loopback::{Loopback, Wire};

#[test]
fn every_kind_of_value_arrives() {
    let (client, wire, all) = client();
    assert_eq!(client.open("av1", b"abc", &FORMAT), Ok(Format { width: 3, height: 2 }));
    assert!(wire.request.borrow().contains(&all.seen_at.get()), "bytes are borrowed from the message");
    assert_eq!(client.packet(Packet { at: 7, data: b"x" }, Some("key")), Ok(10));
    let words = ["a".to_owned(), "b".to_owned()];
    assert_eq!(client.owned(vec![1, 2], &words), Ok((vec![1, 2], "a b".to_owned())));
    assert_eq!(client.nothing(), Ok(()));
    assert_eq!(client.r#match(1, 2, 3, 4, 5, 6, 7), Ok(28), "no name of an argument is taken already");
    client.flush(2).unwrap();
    client.flush(3).unwrap();
    assert_eq!(all.flushed.get(), 5);
    let (number, given) = client.swap("file", pipe(4)).unwrap();
    assert_eq!((number, given.number), (4, 5));
}

#[test]
fn own_errors_come_back_as_they_were() {
    let (client, ..) = client();
    let none = client.open("vp8", b"", &FORMAT);
    assert_eq!(none, Err(MethodError::Own(DecodeError::NoSuchCodec("vp8".to_owned()))));
    let damaged = client.packet(Packet { at: 7, data: b"" }, None);
    assert_eq!(damaged.unwrap_err().own(), Some(DecodeError::Damaged { at: 7 }));
}

#[test]
fn a_failed_call_of_the_server_is_no_error_of_its_own() {
    struct Nested;
    #[interface]
    trait Outer {
        fn ask(&self) -> Answer<u8, DecodeError>;
    }
    impl Outer for Nested {
        fn ask(&self) -> Answer<u8, DecodeError> {
            let (client, wire, _) = client();
            wire.fail_next(Failure::remote(3, "no"));
            client.late()
        }
    }
    let client = OuterClient::over(Stub::new(Loopback::new(OuterServer::new(Nested), Rc::default()), 1));
    let MethodError::Call(error) = client.ask().unwrap_err() else { panic!("not its own") };
    assert!(matches!(error.why, CallFailure::Failed(Failure::Remote { code: Failure::NESTED, .. })), "{error}");
}

#[test]
fn a_deadline_of_the_client_is_for_methods_without_one() {
    let (client, wire, _) = client();
    let client = client.within(Duration::from_secs(1));
    client.small("a").unwrap();
    assert_eq!(wire.within.get(), Some(Duration::from_millis(250)));
    client.nothing().unwrap();
    assert_eq!(wire.within.get(), Some(Duration::from_secs(1)));
}

#[test]
fn many_are_in_flight_and_come_as_they_come() {
    let (client, wire, _) = client();
    let mut answers = Answers::new();
    for at in 0..5u64 {
        answers.add(at, client.start().packet(Packet { at, data: b"x" }, None));
    }
    wire.newest_first.set(true);
    let order: Vec<_> = std::iter::from_fn(|| answers.next()).map(|(at, answer)| (at, answer.unwrap())).collect();
    assert_eq!(order.len(), 5);
    assert!(order.iter().all(|(at, answer)| at == answer), "each has its own mark");
    assert_eq!(order[0].0, 4, "the one that is there is not kept waiting by the others");
    assert!(answers.next().is_none());
}

#[test]
fn a_view_copies_nothing() {
    #[interface]
    trait Store {
        fn text(&self) -> Answer<String, DecodeError>;
        fn bytes(&self, count: usize) -> Answer<Vec<u8>>;
    }
    struct Full;
    impl Store for Full {
        fn text(&self) -> Answer<String, DecodeError> {
            Ok("words".to_owned())
        }
        fn bytes(&self, count: usize) -> Answer<Vec<u8>> {
            Ok(vec![7; count])
        }
    }
    let wire = Rc::new(Wire::default());
    let client = StoreClient::over(Stub::new(Loopback::new(StoreServer::new(Full), Rc::clone(&wire)), 2));
    let seen = client.start().bytes(100).view(|bytes: &[u8]| (bytes.len(), bytes.as_ptr() as usize)).unwrap();
    assert_eq!(seen.0, 100);
    assert!(wire.reply.borrow().contains(&seen.1));
    assert_eq!(client.start().text().view(str::len), Ok(5));
    wire.reply_next(&[1, 1, 9]);
    let error = client.start().text().view(str::len).unwrap_err();
    assert_eq!(error.own(), Some(DecodeError::Damaged { at: 9 }));
}

#[test]
fn one_line_calls_here_there_and_either() {
    fn caller(kinds: &impl Kinds) -> u8 {
        kinds.r#match(1, 1, 1, 1, 1, 1, 1).unwrap()
    }
    let (client, ..) = client();
    assert_eq!(caller(&All::default()), 7);
    assert_eq!(caller(&&All::default()), 7);
    assert_eq!(caller(&client), 7);
    let here: Placed<All, KindsClient<Loopback>> = Placed::Here(All::default());
    let there: Placed<All, KindsClient<Loopback>> = Placed::There(client.clone());
    assert_eq!((caller(&here), caller(&there)), (7, 7));
    let either: [Rc<dyn Kinds>; 2] = [Rc::new(All::default()), Rc::new(client)];
    assert!(either.iter().all(|kinds| kinds.nothing().is_ok()));
}
