//! What a method cannot take or give of links.
use cloison_msg::{Answer, interface};

#[interface]
trait Other {
    fn nothing(&self) -> Answer<()>;
}

#[interface]
trait Nameless {
    fn chain(&self, next: OtherClient<L>) -> Answer<()>;
}

#[interface]
trait Needless<L> {
    fn nothing(&self) -> Answer<()>;
}

#[interface]
trait Bounded<L: Clone> {
    fn chain(&self, next: OtherClient<L>) -> Answer<()>;
}

#[interface]
trait Loose<L> {
    fn bare(&self, next: Link) -> Answer<()>;
    fn open(&self) -> Answer<OtherClient<Link>>;
    fn many(&self, all: Vec<OtherClient<L>>) -> Answer<()>;
    fn perhaps(&self) -> Answer<Option<OtherClient<L>>>;
    fn error(&self) -> Answer<(), OtherClient<L>>;
    fn five(
        &self,
        a: OtherClient<L>,
        b: OtherClient<L>,
        c: OtherClient<L>,
        d: &OtherClient<L>,
        e: &OtherClient<L>,
    ) -> Answer<()>;
}

fn main() {}
