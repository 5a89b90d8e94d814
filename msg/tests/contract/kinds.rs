//! A contract that says everything that can be said, and an implementation that does.

use std::cell::Cell;
use std::rc::Rc;

use cloison_msg::contract::{Client, Flows, Stub};
use cloison_msg::{Answer, DescriptorClasses, Failure, Message, Reader, RpcIndex, interface};
use serde::{Deserialize, Serialize};

use crate::loopback::{Loopback, Passed, Wire};

/// In place of an owned descriptor: this crate has no such thing.
type OwnedFd = Passed;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Format {
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Packet<'a> {
    pub at: u64,
    #[serde(borrow)]
    pub data: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DecodeError {
    NoSuchCodec(String),
    Damaged { at: u64 },
}

/// Everything that can be said.
#[interface(name = "all.kinds", version = 3)]
pub trait Kinds {
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
pub struct All {
    pub flushed: Cell<u8>,
    /// Where the last borrowed bytes were.
    pub seen_at: Cell<usize>,
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

pub fn client() -> (KindsClient<Loopback>, Rc<Wire>, Rc<All>) {
    let all = Rc::new(All::default());
    let wire = Rc::new(Wire::default());
    let loopback = Loopback::new(KindsServer::new(Rc::clone(&all)), Rc::clone(&wire));
    (KindsClient::over(Stub::new(loopback, 9)), wire, all)
}

pub fn pipe(number: u8) -> Passed {
    Passed { number, class: DescriptorClasses::PIPE }
}

pub const FORMAT: Format = Format { width: 1, height: 2 };

pub fn serve_raw(rpc: RpcIndex, mut message: Message<Passed>) -> (Result<(), Failure>, Message<Passed>) {
    let payload = message.payload().to_vec();
    let mut reader = Reader::new(&payload, message.take_descriptors()).with_links(Vec::<Loopback>::new());
    let mut reply = Message::new();
    (KindsServer::new(All::default()).answer::<Loopback>(rpc, &mut reader, &mut reply, &mut Flows::new(None)), reply)
}
