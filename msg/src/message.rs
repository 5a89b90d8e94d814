//! Values appended by a sender, received in the same order.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, Serializer};

use crate::link_ref::{LINK_REF_LEN, LINKS_MAX, LinkRef, Transfer};
use crate::{DescriptorClasses, Destination, HEADER_LEN, Header, Rights, Shape};

/// Largest packet, in bytes: one or more whole messages. Far below what any system's default socket buffer takes;
/// whatever is larger travels in a buffer of a pool.
pub const PACKET_MAX: usize = 64 * 1024;

/// Largest payload of one message, in bytes.
pub const PAYLOAD_MAX: usize = PACKET_MAX - HEADER_LEN;

/// Most descriptors that one message carries. The kernel would take 253; nobody needs more than a few.
pub const DESCRIPTORS_MAX: usize = 16;

/// A descriptor, as far as this crate is concerned: something of a known class.
pub trait Descriptor {
    /// The one class it is of.
    fn class(&self) -> DescriptorClasses;
}

/// A handle on a link: it knows the name that its holder has for it.
pub trait Named {
    /// The name.
    fn destination(&self) -> Destination;
}

impl Named for Destination {
    fn destination(&self) -> Destination {
        *self
    }
}

/// A message under construction, and the memory it is built in: [`clear`](Message::clear) it and build the next one.
///
/// ```
/// # use cloison_msg::{Message, Reader};
/// let mut message = Message::<()>::new();
/// message.append(&7u32)?.append("picture")?;
///
/// let mut reader = Reader::<()>::new(message.payload(), Vec::new());
/// assert_eq!(reader.recv::<u32>()?, 7);
/// assert_eq!(reader.recv::<&str>()?, "picture");
/// reader.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Message<D> {
    /// Room for the header, then the payload; behind it, while the message is being sent, the carried links.
    bytes: Vec<u8>,
    descriptors: Vec<D>,
    links: Vec<LinkRef>,
    /// Where the payload ends.
    end: usize,
    is_retry: bool,
}

/// Why a value or descriptor could not be appended. What stood in the message before still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The payload would grow past [`PAYLOAD_MAX`].
    #[error("the payload would be longer than {PAYLOAD_MAX} bytes; move what is large by a buffer of a pool")]
    TooLong,
    /// The message carries [`DESCRIPTORS_MAX`] already.
    #[error("a message carries at most {DESCRIPTORS_MAX} descriptors")]
    TooManyDescriptors,
    /// The message carries [`LINKS_MAX`] already.
    #[error("a message carries at most {LINKS_MAX} links")]
    TooManyLinks,
    /// The value cannot be serialized (a sequence of unknown length, say).
    #[error("the value has no fixed form on the wire")]
    Unserializable,
    /// The arguments are longer than the contract says.
    #[error("the arguments take {bytes} bytes; the contract allows {most}")]
    Bound {
        /// What they take.
        bytes: u32,
        /// What they may.
        most: u32,
    },
}

impl<D> Message<D> {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; HEADER_LEN],
            descriptors: Vec::new(),
            links: Vec::new(),
            end: HEADER_LEN,
            is_retry: false,
        }
    }

    /// Empties the message and keeps its memory.
    pub fn clear(&mut self) -> &mut Self {
        self.end = HEADER_LEN;
        self.bytes.truncate(HEADER_LEN);
        self.descriptors.clear();
        self.links.clear();
        self.is_retry = false;
        self
    }

    /// Says to whoever serves the call that it was made before, was not answered, and may have been served.
    pub const fn mark_retry(&mut self) -> &mut Self {
        self.is_retry = true;
        self
    }

    /// Whether the call was made before.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.is_retry
    }

    /// Appends one value, postcard-encoded.
    ///
    /// # Errors
    /// [`AppendError::TooLong`] or [`AppendError::Unserializable`].
    pub fn append<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<&mut Self, AppendError> {
        self.bytes.truncate(self.end);
        let cap = PACKET_MAX - self.links.len() * LINK_REF_LEN;
        match postcard::serialize_with_flavor(value, Tail(&mut self.bytes, cap)) {
            Ok(()) => {
                self.end = self.bytes.len();
                Ok(self)
            }
            Err(error) => {
                self.bytes.truncate(self.end);
                Err(match error {
                    postcard::Error::SerializeBufferFull => AppendError::TooLong,
                    _ => AppendError::Unserializable,
                })
            }
        }
    }

    /// Appends a run of bytes, to be received as `&[u8]`. Much faster than a sequence of single bytes.
    ///
    /// # Errors
    /// [`AppendError::TooLong`].
    pub fn append_bytes(&mut self, run: &[u8]) -> Result<&mut Self, AppendError> {
        self.append(&Run(run))
    }

    /// Appends all values of another message; its descriptors and links stay there.
    ///
    /// # Errors
    /// [`AppendError::TooLong`].
    pub fn append_values_of<E>(&mut self, other: &Message<E>) -> Result<&mut Self, AppendError> {
        self.bytes.truncate(self.end);
        if self.end + other.payload().len() + self.links.len() * LINK_REF_LEN > PACKET_MAX {
            return Err(AppendError::TooLong);
        }
        self.bytes.extend_from_slice(other.payload());
        self.end = self.bytes.len();
        Ok(self)
    }

    /// Attaches a descriptor. Nothing happens to it until the message is sent.
    ///
    /// # Errors
    /// [`AppendError::TooManyDescriptors`]; the descriptor is dropped then.
    pub fn attach(&mut self, descriptor: D) -> Result<&mut Self, AppendError> {
        if self.descriptors.len() >= DESCRIPTORS_MAX {
            return Err(AppendError::TooManyDescriptors);
        }
        self.descriptors.push(descriptor);
        Ok(self)
    }

    /// Puts a copy of a link into the message: the receiver gets a link of its own to the same peer, with at most these
    /// rights on it, and never more than the sender has. The sender keeps its own. The sender's rights on the link must
    /// allow it to be handed on ([`RightsFlags::DELEGATE`](crate::RightsFlags::DELEGATE)).
    ///
    /// # Errors
    /// [`AppendError::TooManyLinks`] or [`AppendError::TooLong`].
    pub fn append_link(&mut self, link: &impl Named, rights: &Rights) -> Result<&mut Self, AppendError> {
        self.carry(LinkRef { link: link.destination(), transfer: Transfer::Copy, rights: rights.clone() })
    }

    /// Gives a link away: once the message is sent, the sender has it no more, and its peer talks to the receiver. What
    /// the peer had sent before is still the sender's to take; calls that are unanswered end as
    /// [`Gone::Moved`](crate::Gone::Moved). A message that is denied closes the link.
    ///
    /// # Errors
    /// [`AppendError::TooManyLinks`] or [`AppendError::TooLong`].
    pub fn move_link(&mut self, link: &impl Named, rights: &Rights) -> Result<&mut Self, AppendError> {
        self.carry(LinkRef { link: link.destination(), transfer: Transfer::Move, rights: rights.clone() })
    }

    fn carry(&mut self, link: LinkRef) -> Result<&mut Self, AppendError> {
        if self.links.len() >= LINKS_MAX {
            return Err(AppendError::TooManyLinks);
        }
        if self.end + (self.links.len() + 1) * LINK_REF_LEN > PACKET_MAX {
            return Err(AppendError::TooLong);
        }
        self.links.push(link);
        Ok(self)
    }

    /// The payload so far.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..self.end]
    }

    /// The links put in so far.
    #[must_use]
    pub fn links(&self) -> &[LinkRef] {
        &self.links
    }

    /// What of the message takes room.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let links = u8::try_from(self.links.len()).expect("LINKS_MAX fits");
        Shape { payload: self.payload_len(), descriptors: self.descriptor_count(), links }
    }

    /// Length of the payload so far, in bytes.
    #[must_use]
    pub fn payload_len(&self) -> u32 {
        u32::try_from(self.end - HEADER_LEN).expect("PAYLOAD_MAX fits")
    }

    /// The descriptors attached so far.
    #[must_use]
    pub fn descriptors(&self) -> &[D] {
        &self.descriptors
    }

    /// How many descriptors are attached.
    #[must_use]
    pub fn descriptor_count(&self) -> u8 {
        u8::try_from(self.descriptors.len()).expect("DESCRIPTORS_MAX fits")
    }

    /// The whole message as it travels, with `header` in front.
    pub fn packet(&mut self, header: &Header) -> &[u8] {
        self.begin_packet(header);
        for link in &self.links {
            self.bytes.extend_from_slice(&link.encode());
        }
        &self.bytes
    }

    /// The whole message as it travels, with these encoded links instead of its own.
    pub fn packet_with(&mut self, header: &Header, links: &[u8]) -> &[u8] {
        self.begin_packet(header);
        self.bytes.extend_from_slice(links);
        &self.bytes
    }

    fn begin_packet(&mut self, header: &Header) {
        self.bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        self.bytes.truncate(self.end);
    }

    /// The carried links as they travel, behind the payload.
    #[must_use]
    pub fn encoded_links(&self) -> Vec<u8> {
        self.links.iter().flat_map(LinkRef::encode).collect()
    }

    /// Takes the descriptors out.
    pub fn take_descriptors(&mut self) -> Vec<D> {
        std::mem::take(&mut self.descriptors)
    }
}

impl<D> Default for Message<D> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that serde is told are bytes, not a sequence of numbers.
struct Run<'a>(&'a [u8]);

impl Serialize for Run<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

/// Writes behind what stands in a message, up to that length.
pub(crate) struct Tail<'a>(pub(crate) &'a mut Vec<u8>, pub(crate) usize);

impl Tail<'_> {
    fn check(&self, more: usize) -> postcard::Result<()> {
        if self.0.len() + more > self.1 {
            return Err(postcard::Error::SerializeBufferFull);
        }
        Ok(())
    }
}

impl Flavor for Tail<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.check(1)?;
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.check(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
