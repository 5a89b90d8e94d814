//! Where optional methods stand.
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    fn open(&self) -> Answer<()>;
    #[optional]
    fn seek(&self) -> Answer<()>;
    fn flush(&self) -> Answer<()>;
}

fn main() {}
