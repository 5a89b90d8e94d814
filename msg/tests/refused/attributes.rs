//! What is said about a method.
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    #[oneway]
    fn answered(&self) -> Answer<u32>;
    #[deadline(250)]
    fn unitless(&self) -> Answer<()>;
    #[deadline("2h")]
    fn hours(&self) -> Answer<()>;
    #[deadline("7200s")]
    fn too_long(&self) -> Answer<()>;
    #[limit(4096)]
    fn of_what(&self) -> Answer<()>;
    #[limit(request = 100000)]
    fn too_large(&self) -> Answer<()>;
    #[descriptors(PIPE)]
    fn none(&self) -> Answer<()>;
    #[descriptors(DIRECTORY)]
    fn unknown(&self, at: OwnedFd) -> Answer<()>;
    fn unsaid(&self, at: OwnedFd) -> Answer<()>;
    #[stream]
    fn packets(&self) -> Answer<u32>;
    #[oneway]
    #[idempotent]
    fn again(&self) -> Answer<()>;
    #[idempotent]
    #[descriptors(PIPE)]
    fn given(&self, number: u32, pipe: OwnedFd) -> Answer<()>;
    #[idempotent]
    fn read(&self) -> Stream<u32>;
    #[idempotent]
    fn lent(&self, picture: BufferRef) -> Answer<()>;
}

fn main() {}
