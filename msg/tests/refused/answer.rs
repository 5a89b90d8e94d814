//! What a method gives.
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    fn nothing(&self);
    fn plain(&self) -> u32;
    fn result(&self) -> Result<u32, String>;
    fn text(&self) -> Answer<&str>;
    fn bytes(&self) -> Answer<&[u8]>;
}

fn main() {}
