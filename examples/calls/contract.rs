//! What is agreed on: traits. A host and its workers, and whoever else serves or calls, share this file.

use std::os::fd::OwnedFd;

use cloison_worker::{Answer, Stream, interface};
use serde::{Deserialize, Serialize};

/// Knows what words mean.
#[interface(version = 1)]
pub trait Dictionary {
    /// What a word means. The word is borrowed from the message it came in. To ask twice does no harm, so if the dictionary
    /// dies, its successor is asked.
    #[idempotent]
    fn look_up(&self, word: &str) -> Answer<String, LookUpError>;
    /// Learns a word. Nobody waits for it: what is sent later over the same link is served later.
    #[oneway]
    fn learn(&self, word: &str, meaning: &str) -> Answer<()>;
    /// Learns all words that come through a pipe, one in a line, its meaning behind a colon.
    #[deadline("10s")]
    #[descriptors(PIPE)]
    fn learn_all(&self, book: OwnedFd) -> Answer<u32>;
    /// A method that older dictionaries lack.
    #[optional]
    fn count(&self) -> Answer<u32>;
    /// All its words, one after the other.
    #[optional]
    fn words(&self) -> Stream<String>;
    /// Learns words with their meanings as they come: how many.
    #[optional]
    fn learn_each(&self, words: Stream<(String, String)>) -> Answer<u32>;
    /// The meaning of each word as it comes, up to the first that is not there.
    #[optional]
    fn look_up_all(&self, words: Stream<String>) -> Stream<String, LookUpError>;
}

/// Why a dictionary knows no answer. An error travels like any value, and arrives as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum LookUpError {
    #[error("{word:?} is not in the dictionary")]
    Unknown { word: String },
}

/// Translates whole sentences.
#[interface(version = 1)]
pub trait Translator {
    /// Translates word by word. A text is no longer than a kilobyte; both sides see to it.
    #[limit(request = 1024)]
    fn translate(&self, text: &str) -> Answer<String, LookUpError>;
}

/// Has dictionaries made.
#[interface]
pub trait Library<L> {
    /// A new dictionary, which ends when nobody holds it any more.
    fn dictionary(&self, title: &str) -> Answer<DictionaryClient<L>>;
    /// How many words are in a dictionary of somebody's, of which it gets a copy for as long as the call takes.
    fn weigh(&self, dictionary: &DictionaryClient<L>) -> Answer<u32>;
    /// How many dictionaries there are.
    fn lent(&self) -> Answer<usize>;
    /// Enters into somebody's diary how many are lent: what it answers.
    fn report(&self, diary: DiaryClient<L>) -> Answer<u32>;
}

/// Keeps a diary; what the host serves to its workers, and gives them.
#[interface]
pub trait Diary {
    /// A line of the diary, and how many there are now.
    fn enter(&self, line: &str) -> Answer<u32>;
}
