//! Fields of spans and events as text of bounded length.

use std::cell::Cell;
use std::fmt::{self, Debug, Write};

use cloison_msg::TEXT_MAX;
use tracing::field::{Field, Visit};

/// The message of an event, and its other fields as `name=value`.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) message: Bounded,
    pub(super) others: Bounded,
}

thread_local! {
    /// To be used again. Taken while it is in use: a field's `Debug` may itself record something.
    static SPARE: Cell<Option<Fields>> = const { Cell::new(None) };
}

impl Fields {
    /// What `visit` puts in, handed to `then`.
    pub(super) fn of<T>(visit: impl FnOnce(&mut Self), then: impl FnOnce(&str, &str) -> T) -> T {
        let mut fields = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        visit(&mut fields);
        let result = then(&fields.message.0, &fields.others.0);
        fields.message.0.clear();
        fields.others.0.clear();
        let _ = SPARE.try_with(|spare| spare.set(Some(fields)));
        result
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.write_str(value),
            _ => self.record_display(field, &value.escape_debug()),
        }
        .unwrap_or_default();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => {
                let gap = if self.others.0.is_empty() { "" } else { " " };
                write!(self.others, "{gap}{name}={value:?}")
            }
        }
        .unwrap_or_default();
    }
}

impl Fields {
    fn record_display(&mut self, field: &Field, value: &dyn fmt::Display) -> fmt::Result {
        let gap = if self.others.0.is_empty() { "" } else { " " };
        write!(self.others, "{gap}{}=\"{value}\"", field.name())
    }
}

/// Text that ends at [`TEXT_MAX`] bytes, whatever is written. An error stops whoever writes more.
#[derive(Default)]
pub(super) struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_MAX - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        self.0.push_str(&text[..end]);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let mut text = Bounded::default();
        assert!(write!(text, "a{}", "é".repeat(1000)).is_err());
        assert_eq!(text.0.len(), TEXT_MAX - 1);
        assert!(text.write_str("éé").is_err() && text.write_str("").is_ok());
    }
}
