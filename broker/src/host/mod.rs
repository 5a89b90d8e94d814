//! What a host holds: links, calls that wait, messages that came, pictures it was lent.

mod contract;
mod inbox;
mod incoming;
mod link;
mod object;
mod pools;
mod question;
mod standing;
mod stream;

pub use contract::Started;
pub(crate) use inbox::Mailbox;
pub use inbox::{Inbox, Item, Ticket};
pub use incoming::Incoming;
pub use link::{CALL_DEADLINE, HostLink, OpenError, PendingCall};
pub(crate) use link::{LinkCore, Unclaimed};
pub(crate) use object::Held;
pub use object::Objects;
pub use pools::{BorrowError, Borrowed};
pub use question::Question;
pub(crate) use standing::Standing;
pub use stream::{HOST_FED_BYTES_MAX, HostFlow, HostSink};
pub(crate) use stream::{Hoard, Piece, Pledge, StreamCore};
