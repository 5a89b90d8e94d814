//! What a method takes.
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    fn write_back(&self, into: &mut Vec<u8>) -> Answer<()>;
    fn any(&self, what: impl Into<String>) -> Answer<()>;
    fn object(&self, what: &dyn ToString) -> Answer<()>;
    fn code(&self, then: fn(u32)) -> Answer<()>;
    fn address(&self, at: *const u8) -> Answer<()>;
    fn buffer(&self, picture: BufferMut) -> Answer<()>;
    fn file(&self, file: std::fs::File) -> Answer<()>;
    fn files(&self, files: Vec<OwnedFd>) -> Answer<()>;
    fn chain(&self, next: DecoderClient<Link>) -> Answer<()>;
}

fn main() {}
