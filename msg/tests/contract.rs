//! Contracts without a world: clients and servers over a carrier that is a function call.

#[path = "loopback/mod.rs"]
mod loopback;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::contract::{Answers, Client, Flows, Placed, Serve, Server, Stub};
use cloison_msg::{
    Answer, CallFailure, DescriptorClasses, Failure, Interface, Message, MethodError, Reader, Rights, RightsFlags,
    RpcIndex, RpcSet, interface,
};
use loopback::{Loopback, Passed, Wire};
use serde::{Deserialize, Serialize};

/// In place of an owned descriptor: this crate has no such thing.
type OwnedFd = Passed;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Format {
    width: u32,
    height: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Packet<'a> {
    at: u64,
    #[serde(borrow)]
    data: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum DecodeError {
    NoSuchCodec(String),
    Damaged { at: u64 },
}

/// Everything that can be said.
#[interface(name = "all.kinds", version = 3)]
trait Kinds {
    /// Borrowed text and bytes, a value by reference, an error of its own.
    fn open(&self, codec: &str, extra: &[u8], format: &Format) -> Answer<Format, DecodeError>;
    /// A borrowed value.
    fn packet<'a>(&self, packet: Packet<'a>, hint: Option<&'a str>) -> Answer<u64, DecodeError>;
    #[oneway]
    fn flush(&self, times: u8) -> Answer<()>;
    fn owned(&self, bytes: Vec<u8>, words: &[String]) -> Answer<(Vec<u8>, String)>;
    #[descriptors(PIPE, READ_ONLY_FILE)]
    fn swap(&self, name: &str, pipe: OwnedFd) -> Answer<(u8, OwnedFd)>;
    #[limit(request = 8, reply = 8)]
    #[deadline("250ms")]
    fn small(&self, text: &str) -> Answer<String>;
    fn nothing(&self) -> Answer<()>;
    #[allow(clippy::too_many_arguments)]
    fn r#match(&self, reply: u8, request: u8, method: u8, error: u8, message: u8, rpc: u8, this: u8) -> Answer<u8>;
    #[optional]
    fn late(&self) -> Answer<u8, DecodeError>;
}

#[derive(Default)]
struct All {
    flushed: Cell<u8>,
    /// Where the last borrowed bytes were.
    seen_at: Cell<usize>,
}

impl Kinds for All {
    fn open(&self, codec: &str, extra: &[u8], format: &Format) -> Answer<Format, DecodeError> {
        self.seen_at.set(extra.as_ptr() as usize);
        match codec {
            "av1" => Ok(Format { width: u32::from(extra.len() == 3) * 3, ..*format }),
            other => Err(DecodeError::NoSuchCodec(other.to_owned()))?,
        }
    }

    fn packet<'a>(&self, packet: Packet<'a>, hint: Option<&'a str>) -> Answer<u64, DecodeError> {
        if packet.data.is_empty() {
            return Err(DecodeError::Damaged { at: packet.at }.into());
        }
        Ok(packet.at.wrapping_add(hint.map_or(0, |hint| hint.len() as u64)))
    }

    fn flush(&self, times: u8) -> Answer<()> {
        self.flushed.set(self.flushed.get().wrapping_add(times));
        Ok(())
    }

    fn owned(&self, bytes: Vec<u8>, words: &[String]) -> Answer<(Vec<u8>, String)> {
        Ok((bytes, words.join(" ")))
    }

    fn swap(&self, name: &str, pipe: OwnedFd) -> Answer<(u8, OwnedFd)> {
        let given = if name == "socket" { DescriptorClasses::SOCKET } else { DescriptorClasses::READ_ONLY_FILE };
        Ok((pipe.number, Passed { number: pipe.number.wrapping_add(1), class: given }))
    }

    fn small(&self, text: &str) -> Answer<String> {
        Ok(text.repeat(3))
    }

    fn nothing(&self) -> Answer<()> {
        Ok(())
    }

    fn r#match(&self, reply: u8, request: u8, method: u8, error: u8, message: u8, rpc: u8, this: u8) -> Answer<u8> {
        Ok([reply, request, method, error, message, rpc, this].into_iter().fold(0, u8::wrapping_add))
    }

    fn late(&self) -> Answer<u8, DecodeError> {
        Ok(9)
    }
}

fn client() -> (KindsClient<Loopback>, Rc<Wire>, Rc<All>) {
    let all = Rc::new(All::default());
    let wire = Rc::new(Wire::default());
    let loopback = Loopback::new(KindsServer::new(Rc::clone(&all)), Rc::clone(&wire));
    (KindsClient::over(Stub::new(loopback, 9)), wire, all)
}

fn pipe(number: u8) -> Passed {
    Passed { number, class: DescriptorClasses::PIPE }
}

const FORMAT: Format = Format { width: 1, height: 2 };

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
fn a_deadline_of_the_client_is_for_methods_without_one() {
    let (client, wire, _) = client();
    let client = client.within(Duration::from_secs(1));
    client.small("a").unwrap();
    assert_eq!(wire.within.get(), Some(Duration::from_millis(250)));
    client.nothing().unwrap();
    assert_eq!(wire.within.get(), Some(Duration::from_secs(1)));
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

fn serve_raw(rpc: RpcIndex, mut message: Message<Passed>) -> (Result<(), Failure>, Message<Passed>) {
    let payload = message.payload().to_vec();
    let mut reader = Reader::new(&payload, message.take_descriptors()).with_links(Vec::<Loopback>::new());
    let mut reply = Message::new();
    (KindsServer::new(All::default()).answer::<Loopback>(rpc, &mut reader, &mut reply, &mut Flows::new(None)), reply)
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

#[test]
fn policies_are_derived() {
    let rights = KINDS.rights();
    let classes = DescriptorClasses::PIPE | DescriptorClasses::READ_ONLY_FILE;
    let flags = RightsFlags::CALL | RightsFlags::ONEWAY;
    assert_eq!(rights, Rights { flags, ..Rights::methods(RpcSet::first(9)).passing(classes) });
    assert_eq!(KINDS.answer_rights(), Rights { classes, ..Rights::default() });
    let few = KINDS.rights_to(KINDS.only(&["flush"]));
    assert_eq!((few.flags, few.classes), (RightsFlags::ONEWAY, DescriptorClasses::empty()));

    #[derive(Serialize, Deserialize)]
    struct BufferRef;
    #[interface]
    trait Screen {
        fn show(&self, picture: BufferRef) -> Answer<()>;
    }
    assert!(SCREEN.rights().flags.contains(RightsFlags::LEND));
    assert!(!SCREEN.rights().flags.contains(RightsFlags::ONEWAY));
    fn takes_an_interface(_: &Interface) {}
    takes_an_interface(&SCREEN);
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

#[test]
fn the_names_are_what_they_look_like() {
    #[interface]
    trait HTTPServer2 {
        fn get(&self) -> Answer<()>;
    }
    assert_eq!(HTTPSERVER2.name().as_str(), "httpserver2");
    #[interface]
    trait VideoDecoder {
        fn get(&self) -> Answer<()>;
    }
    assert_eq!(VIDEO_DECODER.name().as_str(), "video-decoder");
    assert_eq!(VideoDecoderClient::<Loopback>::CONTRACT.version(), 0);
    assert_eq!(KINDS.methods()[7].name, "match");
    assert_eq!(
        KINDS.methods()[1].signature,
        "fn packet<'a>(&self, packet: Packet<'a>, hint: Option<&'a str>) -> Answer<u64, DecodeError>"
    );
}

#[test]
fn what_a_server_keeps_can_be_reached() {
    let server: Server<KindsMethods<All>> = KindsServer::new(All::default());
    server.implementation().flush(1).unwrap();
    assert_eq!(server.implementation().flushed.get(), 1);
    assert_eq!(server.contract().name(), KINDS.name());
    assert_eq!(<KindsMethods<All> as Serve>::CONTRACT.version(), 3);
}

/// Names that what is made could take for its own parameters.
mod short_names {
    use cloison_msg::contract::{Here, Placed, Stream};
    use cloison_msg::{Answer, interface};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct S(u32);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct L;

    #[interface]
    pub trait T {
        fn a(&self, s: S) -> Answer<L>;
        fn b(&self, o: Stream<S>) -> Stream<S>;
    }

    #[interface]
    pub trait B {
        fn a(&self) -> Answer<S>;
    }

    #[interface]
    pub trait A<L> {
        fn give(&self) -> Answer<BClient<L>>;
    }

    pub struct O;

    impl T for O {
        fn a(&self, _: S) -> Answer<L> {
            Ok(L)
        }

        fn b(&self, o: Stream<S>) -> Stream<S> {
            o
        }
    }

    #[test]
    fn are_the_traits_own() {
        let here = Here::<Nothing>::new();
        let client = TClient::offer(&here, O).unwrap();
        assert_eq!(client.a(S(1)), Ok(L));
        let placed: Placed<O, TClient<_>> = Placed::There(client);
        assert_eq!(placed.a(S(2)), Ok(L));
        assert_eq!(O.b(Stream::of([S(3)])).collect::<Result<Vec<_>, _>>(), Ok(vec![S(3)]));
    }

    #[derive(Debug)]
    pub struct Nothing;

    impl cloison_msg::Descriptor for Nothing {
        fn class(&self) -> cloison_msg::DescriptorClasses {
            cloison_msg::DescriptorClasses::empty()
        }
    }
}
