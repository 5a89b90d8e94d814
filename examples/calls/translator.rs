//! An implementation that calls another: generic over where the dictionary is.

use cloison_worker::Answer;
use cloison_worker::msg::CallError;

use crate::contract::{Diary, Dictionary, LookUpError, Translator};

/// Translates with a dictionary, and keeps a diary of it.
pub struct WordByWord<D, N> {
    pub dictionary: D,
    pub diary: N,
}

impl<D: Dictionary, N: Diary> Translator for WordByWord<D, N> {
    fn translate(&self, text: &str) -> Answer<String, LookUpError> {
        let words: Answer<Vec<_>, _> = text.split(' ').map(|word| self.dictionary.look_up(word)).collect();
        let translated = words?.join(" ");
        // A failed call of one's own can be handed on: the caller hears of it as a failure of its call.
        self.diary.enter(&format!("{text} = {translated}")).map_err(CallError::from)?;
        Ok(translated)
    }
}
