//! Streams.
use cloison_msg::contract::Stream;
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    fn wrapped(&self) -> Answer<Stream<u32>>;
    fn borrowed(&self) -> Stream<&str>;
    fn descriptors(&self) -> Stream<OwnedFd>;
    fn links(&self, clients: Stream<OtherClient<L>>) -> Answer<()>;
    #[oneway]
    fn unheard(&self) -> Stream<u32>;
    #[oneway]
    fn unanswered(&self, packets: Stream<u32>) -> Answer<()>;
    fn two(&self, packets: Stream<u32>, times: Stream<u64>) -> Answer<()>;
    fn of_errors(&self, packets: Stream<u32, String>) -> Answer<()>;
    fn by_reference(&self, packets: &Stream<u32>) -> Answer<()>;
    fn inside(&self, packets: Vec<Stream<u32>>) -> Answer<()>;
    fn beside(&self) -> Answer<(u32, Stream<u32>)>;
}

fn main() {}
