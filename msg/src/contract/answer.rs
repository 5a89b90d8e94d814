//! What a method of a contract gives back.

use serde::{Deserialize, Serialize};

use crate::CallError;

/// What a method of a contract gives back: its value, or why there is none. A method without an error of its own leaves
/// `E` out; calling it can fail all the same.
pub type Answer<T, E = Never> = Result<T, MethodError<E>>;

/// Why a method gave no value.
///
/// An implementation returns its own error with `?` or `into()`, and the failure of a call it made itself likewise. Its
/// caller gets the first back as [`Own`](Self::Own), as it was; the second as a [`Call`](Self::Call) that failed with
/// [`Failure::NESTED`](crate::Failure::NESTED).
///
/// ```
/// # use cloison_msg::{Answer, MethodError};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum SeekError {
///     BeyondTheEnd(u64),
/// }
///
/// fn seek(to: u64) -> Answer<u64, SeekError> {
///     if to > 100 {
///         Err(SeekError::BeyondTheEnd(100))?;
///     }
///     Ok(to)
/// }
/// assert_eq!(seek(101), Err(MethodError::Own(SeekError::BeyondTheEnd(100))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError<E> {
    /// The method's own error, as its implementation returned it. It was served.
    #[error("{0}")]
    Own(E),
    /// The call failed before, behind or beside the implementation.
    #[error(transparent)]
    Call(CallError),
}

impl<E> MethodError<E> {
    /// The method's own error, if it is that.
    pub fn own(self) -> Option<E> {
        match self {
            Self::Own(error) => Some(error),
            Self::Call(_) => None,
        }
    }

    /// Why the call failed, if that is what happened.
    pub const fn call(&self) -> Option<&CallError> {
        match self {
            Self::Own(_) => None,
            Self::Call(error) => Some(error),
        }
    }
}

/// Whatever travels can be a method's own error; a [`CallError`] does not travel.
impl<E: Serialize> From<E> for MethodError<E> {
    fn from(error: E) -> Self {
        Self::Own(error)
    }
}

impl<E> From<CallError> for MethodError<E> {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// What happened to a call of a method without an error of its own. By `map_err(CallError::from)?` a method that has one
/// hands on the failure of such a call that it made itself.
impl From<MethodError<Never>> for CallError {
    fn from(error: MethodError<Never>) -> Self {
        match error {
            MethodError::Own(never) => match never {},
            MethodError::Call(error) => error,
        }
    }
}

/// The error of a method that has none of its own: there is no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Never {}
