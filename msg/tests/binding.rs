//! Whether two sides mean the same contract.

use cloison_msg::contract::bind::{BindAnswer, BindQuestion, Claim, Difference, Mismatch};
use cloison_msg::{Answer, Message, Name, Reader, RecvError, interface};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Format {
    width: u32,
    height: u32,
}

mod old {
    use super::{Answer, Format, interface};

    #[interface(name = "decoder", version = 1)]
    pub(super) trait Decoder {
        fn open(&self, codec: &str) -> Answer<Format>;
        fn packet(&self, data: &[u8]) -> Answer<u32>;
    }
}

mod new {
    use serde::{Deserialize, Serialize};

    use super::{Answer, Format, interface};

    #[interface(name = "decoder", version = 1)]
    pub(super) trait Longer {
        fn open(&self, text: &str) -> Answer<Format>;
        fn packet(&self, bytes: Vec<u8>) -> Answer<u32>;
        fn seek(&self, to: u64) -> Answer<()>;
    }

    #[interface(name = "decoder", version = 1)]
    pub(super) trait Patient {
        fn open(&self, codec: &str) -> Answer<Format>;
        fn packet(&self, data: &[u8]) -> Answer<u32>;
        #[optional]
        fn seek(&self, to: u64) -> Answer<()>;
    }

    #[derive(Serialize, Deserialize)]
    pub(super) struct Format2 {
        height: u32,
        width: u32,
    }

    pub(super) type Shape = Format2;

    #[interface(name = "decoder", version = 1)]
    pub(super) trait Other {
        fn open(&self, codec: &str) -> Answer<Shape>;
        fn packet(&self, data: &[u8]) -> Answer<u64>;
    }

    #[interface(version = 1)]
    pub(super) trait Renamed {
        fn open(&self, codec: &str) -> Answer<Format>;
        fn packet(&self, data: &[u8]) -> Answer<u32>;
    }

    #[interface(name = "decoder", version = 2)]
    pub(super) trait Raised {
        fn open(&self, codec: &str) -> Answer<Format>;
    }
}

fn bind(client: &'static cloison_msg::Contract, server: &cloison_msg::Contract) -> Result<u16, Box<Mismatch>> {
    BindAnswer::to(&BindQuestion::about(client), server).served(client, &video())
}

fn video() -> Name {
    Name::new("video").expect("it is a name")
}

#[test]
fn contracts_that_mean_the_same_bind() {
    assert_eq!(bind(&old::DECODER, &old::DECODER), Ok(2));
    assert_eq!(bind(&old::DECODER, &new::LONGER), Ok(2), "the server has more, and other names for the arguments");
    assert_eq!(bind(&new::PATIENT, &old::DECODER), Ok(2), "what is missing is optional");
    assert_eq!(bind(&new::PATIENT, &new::LONGER), Ok(3));
}

#[test]
fn a_mismatch_names_both_sides_and_the_method() {
    let missing = bind(&new::LONGER, &old::DECODER).unwrap_err();
    assert_eq!(missing.what, Difference::Missing { number: 2, ours: "fn seek(&self, to: u64) -> Answer<()>" });
    let other = bind(&new::OTHER, &old::DECODER).unwrap_err();
    let Difference::Method { number: 0, .. } = other.what else { panic!("{other}") };
    let text = other.to_string();
    assert_eq!(
        text,
        "this side means \"decoder\" version 1, video serves \"decoder\" version 1: method 0 is \
         `fn open(&self, codec: &str) -> Answer<Shape>` here and `fn open(&self, codec: &str) -> Answer<Format>` there"
    );
    assert_eq!(bind(&new::RAISED, &old::DECODER).unwrap_err().what, Difference::Version);
    let renamed = bind(&new::RENAMED, &old::DECODER).unwrap_err();
    assert_eq!((renamed.what, renamed.theirs.1), (Difference::Interface, 1));
}

#[test]
fn a_server_that_lies_confuses_nobody() {
    let liar = |claim: Claim| BindAnswer::Other(claim).served(&old::DECODER, &video());
    let BindAnswer::Other(truth) = BindAnswer::to(&BindQuestion::about(&new::RAISED), &old::DECODER) else { panic!() };
    assert_eq!(liar(truth.clone()), Ok(2), "the same, after all");
    let empty = liar(Claim { methods: Vec::new(), ..truth.clone() }).unwrap_err();
    assert!(matches!(empty.what, Difference::Missing { number: 0, .. }));
    let many = Claim { methods: vec![truth.methods[0].clone(); 65], ..truth };
    let mut message = Message::<()>::new();
    message.append(&BindAnswer::Other(many)).unwrap();
    let read = BindAnswer::read(&mut Reader::<()>::new(message.payload(), Vec::new()));
    assert_eq!(read, Err(RecvError::Value));
}
