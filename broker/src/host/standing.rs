//! Whether anybody waits for the answer to a call that came to the host.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a call stands that came to the host: between the driver, which hears that it is given up, and the application,
/// which takes it from the inbox in its own time.
#[derive(Debug, Default)]
pub(crate) struct Standing(AtomicU8);

/// The application has it.
const TAKEN: u8 = 1;
/// Nobody waits for its answer.
const GIVEN_UP: u8 = 2;

impl Standing {
    /// The application takes the call; false if it was given up before.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_or(TAKEN, Ordering::AcqRel) & GIVEN_UP == 0
    }

    /// Nobody waits for the answer any more; whether the application will never have the call.
    pub(crate) fn give_up(&self) -> bool {
        self.0.fetch_or(GIVEN_UP, Ordering::AcqRel) & TAKEN == 0
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) & GIVEN_UP != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_application_has_it_or_the_driver_answers() {
        let (early, late) = (Standing::default(), Standing::default());
        assert!(early.give_up() && !early.take() && early.is_given_up());
        assert!(late.take() && !late.is_given_up() && !late.give_up() && late.is_given_up());
    }
}
