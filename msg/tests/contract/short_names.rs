//! Names that what is made could take for its own parameters.

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
