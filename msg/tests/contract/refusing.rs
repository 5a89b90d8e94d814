//! What either side does not take from the other.

use std::time::Duration;

use cloison_msg::{CallFailure, DescriptorClasses, Failure, Message, Reader, RpcIndex};

use super::kinds::{DecodeError, FORMAT, Format, KINDS, Kinds, client, pipe, serve_raw};
use crate::loopback::Passed;

#[test]
fn limits_hold_on_both_sides() {
    let (client, wire, _) = client();
    assert_eq!(client.small("ab"), Ok("ababab".to_owned()));
    assert_eq!(wire.within.get(), Some(Duration::from_millis(250)), "what the method says");
    let error = client.small("eight by").unwrap_err();
    assert!(matches!(error.call().unwrap().why, CallFailure::Unsendable(_)), "{error}");
    let error = client.small("abc").unwrap_err();
    assert!(matches!(error.call().unwrap().why, CallFailure::Unreadable(_)), "{error}");

    // A caller that does not keep it.
    let mut message = Message::new();
    message.append("nine bytes").unwrap();
    let (failure, _) = serve_raw(KINDS.method("small"), message);
    assert!(matches!(failure.unwrap_err(), Failure::Undecodable(_)));
}

#[test]
fn descriptors_are_of_the_classes_that_the_method_names() {
    let (client, ..) = client();
    let socket = Passed { number: 1, class: DescriptorClasses::SOCKET };
    let error = client.swap("file", socket).unwrap_err();
    assert!(matches!(error.call().unwrap().why, CallFailure::Failed(Failure::Undecodable(_))), "{error}");
    let error = client.swap("socket", pipe(1)).unwrap_err();
    assert!(matches!(error.call().unwrap().why, CallFailure::Unreadable(_)), "{error}");
}

#[test]
fn the_raw_interface_speaks_to_a_contract() {
    let mut message = Message::new();
    message.append("av1").unwrap().append_bytes(b"abc").unwrap().append(&FORMAT).unwrap();
    let (result, reply) = serve_raw(RpcIndex(0), message);
    assert_eq!(result, Ok(()));
    let mut reader = Reader::<()>::new(reply.payload(), Vec::new());
    assert_eq!(reader.recv(), Ok(Ok::<_, DecodeError>(Format { width: 3, height: 2 })));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn rubbish_is_answered_by_name_and_never_panics() {
    let (result, _) = serve_raw(RpcIndex(0), Message::new());
    assert!(matches!(result, Err(Failure::Undecodable(_))));
    let mut long = Message::new();
    long.append(&1u8).unwrap();
    assert!(matches!(serve_raw(KINDS.method("nothing"), long).0, Err(Failure::Undecodable(_))), "left over");
    let mut stowaway = Message::new();
    stowaway.attach(pipe(1)).unwrap();
    assert!(matches!(serve_raw(KINDS.method("nothing"), stowaway).0, Err(Failure::Undecodable(_))));
    for rpc in (9..70).filter(|&rpc| rpc != RpcIndex::BIND.0) {
        assert_eq!(serve_raw(RpcIndex(rpc), Message::new()).0, Err(Failure::NoSuchMethod));
    }
    for rpc in (0..10).chain([RpcIndex::BIND.0]) {
        for seed in 0..64u8 {
            let mut message = Message::new();
            for at in 0..seed {
                message.append(&seed.wrapping_mul(31).wrapping_add(at.wrapping_mul(7))).unwrap();
            }
            let _ = serve_raw(RpcIndex(rpc), message);
        }
    }
}

#[test]
fn a_reply_that_is_another_is_unreadable() {
    let (client, wire, _) = client();
    for wrong in [&[][..], &[2, 1, 1], &[0, 1], &[0, 1, 1, 1], &[1, 9]] {
        wire.reply_next(wrong);
        let error = client.open("av1", b"", &FORMAT).unwrap_err();
        assert!(matches!(error.call().unwrap().why, CallFailure::Unreadable(_)), "{wrong:?}: {error:?}");
    }
}
