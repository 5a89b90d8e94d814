//! Names of roles and interfaces: short, printable, bounded.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The name of the host, which no worker can have.
pub const HOST: &str = "host";

/// Longest name, in bytes.
pub const NAME_MAX: usize = 32;

/// The name of a role or an interface: 1 to [`NAME_MAX`] bytes of `a-z`, `0-9`, `-`, `_` and `.`.
///
/// The alphabet is that narrow because names reach logs, terminals and process titles.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Box<str>);

/// Why a string is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name needs at least one character")]
    Empty,
    /// More than [`NAME_MAX`] bytes.
    #[error("a name of {0} bytes is longer than {NAME_MAX}")]
    TooLong(usize),
    /// A character outside `a-z 0-9 - _ .`.
    #[error("{0:?} cannot stand in a name; use a-z, 0-9, '-', '_' and '.'")]
    Character(char),
}

impl Name {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the string breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_MAX {
            return Err(NameError::TooLong(name.len()));
        }
        match name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.')) {
            Some(wrong) => Err(NameError::Character(wrong)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;
    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(<&str>::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_confuse_a_terminal() {
        assert_eq!(Name::new("video-decoder.2").unwrap().as_str(), "video-decoder.2");
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(Name::new("\u{1b}[2J"), Err(NameError::Character('\u{1b}')));
        assert_eq!(Name::new(&"x".repeat(33)), Err(NameError::TooLong(33)));
    }
}
