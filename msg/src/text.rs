//! Text said by somebody who is not trusted.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest text, in bytes, after escaping; what is longer is cut.
pub const TEXT_MAX: usize = 240;

/// Text from an untrusted mouth: capped at [`TEXT_MAX`] bytes and free of control characters, so that a person or a
/// terminal can be shown it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Text(Box<str>);

impl Text {
    /// Takes `raw`, escaping what a terminal could obey and cutting what is too long.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        let mut clean = String::with_capacity(raw.len().min(TEXT_MAX));
        for c in raw.chars() {
            let mark = clean.len();
            if is_plain(c) {
                clean.push(c)
            } else {
                clean.extend(c.escape_default())
            }
            if clean.len() > TEXT_MAX - '…'.len_utf8() {
                clean.truncate(mark);
                clean.push('…');
                break;
            }
        }
        Self(clean.into())
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `c` is harmless on a terminal: no control character, and none that changes the direction of what follows.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::new(&raw)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::new(<&str>::deserialize(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(Text::new("a\u{1b}[2Jb\n").as_str(), "a\\u{1b}[2Jb\\n");
        let long = Text::new(&"é".repeat(1000));
        assert!(long.as_str().len() <= TEXT_MAX && long.as_str().ends_with('…'));
        assert_eq!(Text::new(long.as_str()).as_str().len(), long.as_str().len());
    }
}
