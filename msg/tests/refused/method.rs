//! What a method is.
use cloison_msg::{Answer, interface};

#[interface]
trait Decoder {
    const RATE: u32;
    type Picture;
    fn change(&mut self) -> Answer<()>;
    fn consume(self) -> Answer<()>;
    fn alone() -> Answer<()>;
    async fn later(&self) -> Answer<()>;
    fn generic<T>(&self, value: T) -> Answer<()>;
    fn ready(&self) -> Answer<()> {
        Ok(())
    }
    fn start(&self) -> Answer<()>;
    #[cfg(unix)]
    fn sometimes(&self) -> Answer<()>;
}

fn main() {}
