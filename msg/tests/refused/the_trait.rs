//! What the trait is.
use cloison_msg::{Answer, interface};

#[interface]
trait Generic<T> {
    fn open(&self) -> Answer<()>;
}

#[interface]
trait Extended: Send {
    fn open(&self) -> Answer<()>;
}

#[interface(name = "Video Decoder")]
trait Named {
    fn open(&self) -> Answer<()>;
}

#[interface]
trait MuchTooLongForTheNameOfAnInterface {
    fn open(&self) -> Answer<()>;
}

#[interface(speed = "high")]
trait Fast {
    fn open(&self) -> Answer<()>;
}

#[interface]
struct Decoder;

fn main() {}
