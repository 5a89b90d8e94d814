//! Values read from a message that arrived, in the order in which they were appended.

use serde::Deserialize;

use crate::contract::bind::Mismatch;
use crate::{Destination, Header, HeaderError};

/// A message that arrived: the same values in the same order. `D` is how descriptors arrive, `L` how links do: by the name
/// that the receiver has for them, if not by a handle.
#[derive(Debug)]
pub struct Reader<'a, D, L = Destination> {
    payload: &'a [u8],
    descriptors: std::vec::IntoIter<D>,
    links: std::vec::IntoIter<L>,
}

/// Why a value or descriptor could not be received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The payload holds no such value at this place.
    #[error("the payload holds no such value here")]
    Value,
    /// No descriptor is left.
    #[error("no descriptor is left")]
    NoDescriptor,
    /// [`Reader::finish`] found bytes that nobody received.
    #[error("{0} bytes of the payload were left over")]
    LeftOver(usize),
    /// [`Reader::finish`] found descriptors that nobody received.
    #[error("{0} descriptors were left over")]
    LeftOverDescriptors(usize),
    /// No link is left.
    #[error("no link is left")]
    NoLink,
    /// [`Reader::finish`] found links that nobody received.
    #[error("{0} links were left over")]
    LeftOverLinks(usize),
    /// The message is longer than the contract says.
    #[error("{bytes} bytes, where the contract allows {most}")]
    Bound {
        /// What there is.
        bytes: usize,
        /// What there may be.
        most: u32,
    },
    /// A descriptor is of a class that the contract does not name.
    #[error("a descriptor of a class that the contract does not name")]
    Class,
    /// A link leads to something else than the contract says.
    #[error("a link that leads elsewhere: {0}")]
    Link(Box<Mismatch>),
}

impl<'a, D> Reader<'a, D> {
    /// Reads what a message carried.
    #[must_use]
    pub fn new(payload: &'a [u8], descriptors: Vec<D>) -> Self {
        Self { payload, descriptors: descriptors.into_iter(), links: Vec::new().into_iter() }
    }
}

impl<'a, D, L> Reader<'a, D, L> {
    /// The same, with the links that the message carried.
    #[must_use]
    pub fn with_links<M>(self, links: Vec<M>) -> Reader<'a, D, M> {
        let Self { payload, descriptors, .. } = self;
        Reader { payload, descriptors, links: links.into_iter() }
    }

    /// The next link that the message carried.
    ///
    /// # Errors
    /// [`RecvError::NoLink`].
    pub fn link(&mut self) -> Result<L, RecvError> {
        self.links.next().ok_or(RecvError::NoLink)
    }

    /// The links that nobody has received yet.
    #[must_use]
    pub fn links_left(&self) -> &[L] {
        self.links.as_slice()
    }

    /// The next value. Strings and runs of bytes can be borrowed from the payload.
    ///
    /// # Errors
    /// [`RecvError::Value`]; the reader stays where it was.
    pub fn recv<T: Deserialize<'a>>(&mut self) -> Result<T, RecvError> {
        let (value, rest) = postcard::take_from_bytes(self.payload).map_err(|_| RecvError::Value)?;
        self.payload = rest;
        Ok(value)
    }

    /// How many bytes have not been received yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.payload.len()
    }

    /// The next descriptor.
    ///
    /// # Errors
    /// [`RecvError::NoDescriptor`].
    pub fn descriptor(&mut self) -> Result<D, RecvError> {
        self.descriptors.next().ok_or(RecvError::NoDescriptor)
    }

    /// Says that everything was received.
    ///
    /// # Errors
    /// [`RecvError::LeftOver`], [`RecvError::LeftOverDescriptors`] or [`RecvError::LeftOverLinks`]: sender and receiver do not agree on the contract.
    pub fn finish(self) -> Result<(), RecvError> {
        if !self.payload.is_empty() {
            return Err(RecvError::LeftOver(self.payload.len()));
        }
        match (self.descriptors.len(), self.links.len()) {
            (0, 0) => Ok(()),
            (0, left) => Err(RecvError::LeftOverLinks(left)),
            (left, _) => Err(RecvError::LeftOverDescriptors(left)),
        }
    }
}

/// The one value that makes up a whole payload.
///
/// # Errors
/// [`RecvError`] if it is not there, or is followed by anything.
pub fn decode_whole<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, RecvError> {
    let mut reader = Reader::<()>::new(payload, Vec::new());
    let value = reader.recv()?;
    reader.finish()?;
    Ok(value)
}

/// The messages of one packet, one after the other: where each begins, and its header.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Messages<'a> {
    /// Walks over `packet`.
    #[must_use]
    pub const fn new(packet: &'a [u8]) -> Self {
        Self { packet, at: 0 }
    }
}

impl Iterator for Messages<'_> {
    /// Where the message starts in the packet, and its header; the walk ends behind the first error.
    type Item = Result<(usize, Header), HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.packet.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let header = Header::of_message(rest);
        self.at = header.map_or(self.packet.len(), |header| start + header.message_len());
        Some(header.map(|header| (start, header)))
    }
}
