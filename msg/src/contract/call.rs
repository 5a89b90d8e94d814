//! Calls that were begun, and answers as they come.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll as Progress};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::retry::Again;
use super::serve::failed;
use super::stub::check_reply;
use super::{Answer, Method, MethodError, Pending, Poll};
use crate::{CallError, Reader, RecvError};

/// How a reply is read: the value, or the method's own error.
pub type Read<P, T, E> =
    for<'a> fn(&mut Reader<'a, <P as Pending>::Passed, <P as Pending>::Link>) -> Result<Result<T, E>, RecvError>;

/// A call of a method that was begun: [`wait`](Self::wait) for its answer, or, where `P` is a host's, `.await` it. Dropped, it
/// is given up: the server is told.
#[must_use = "an answer is to be waited for"]
pub struct Call<P: Pending, T, E> {
    /// Taken out at the end.
    pending: Option<P>,
    method: &'static Method,
    read: Read<P, T, E>,
    /// How to make it again if the peer dies.
    again: Option<Again<P::Link>>,
}

impl<P: Pending, T, E> Call<P, T, E> {
    pub(super) const fn new(pending: P, method: &'static Method, read: Read<P, T, E>) -> Self {
        Self { pending: Some(pending), method, read, again: None }
    }

    pub(super) fn again(self, again: Again<P::Link>) -> Self {
        Self { again: Some(again), ..self }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`MethodError`].
    ///
    /// # Panics
    /// If it was polled to its end before.
    pub fn wait(mut self) -> Answer<T, E> {
        self.finish()
    }

    /// Waits for the answer and looks at it where it arrived: nothing is copied.
    ///
    /// ```
    /// # use cloison_msg::contract::{Call, Never, Pending};
    /// # use cloison_msg::Answer;
    /// # fn with<P: Pending>(read: Call<P, Vec<u8>, Never>) -> Answer<()> {
    /// let sum = read.view(|bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`MethodError`].
    ///
    /// # Panics
    /// If it was polled to its end before.
    pub fn view<R>(mut self, look: impl FnOnce(T::Of<'_>) -> R) -> Answer<R, E>
    where
        T: View,
        E: DeserializeOwned,
    {
        let method = self.method;
        let mut look = Some(look);
        let answer = loop {
            let attempt = self.attempt(|reader| {
                check_reply(method, reader.remaining())?;
                if method.fallible && failed(reader)? {
                    return Ok(Err(reader.recv()?));
                }
                let look = look.take().expect("a call has one reply");
                Ok(Ok(look(reader.recv()?)))
            });
            if let Some(answer) = attempt {
                break answer;
            }
        };
        answer?.map_err(MethodError::Own)
    }

    /// Leaves the call to its server, who serves it although nobody waits for the answer. For calls whose arguments lend a
    /// buffer, which comes back only if somebody reads what names it; and where a `#[oneway]` will not do. What has failed, or
    /// would have to be made again because its server died, is over.
    pub fn detach(mut self) {
        self.take().detach();
    }

    fn finish(&mut self) -> Answer<T, E> {
        loop {
            if let Some(answer) = self.try_finish() {
                return answer;
            }
        }
    }

    /// Waits for the outcome of the call as it was made last; `None` if it is made again.
    fn try_finish(&mut self) -> Option<Answer<T, E>> {
        let (method, read) = (self.method, self.read);
        let attempt = self.attempt(|reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        });
        attempt.map(|answer| answer?.map_err(MethodError::Own))
    }

    fn attempt<R>(
        &mut self,
        read: impl FnOnce(&mut Reader<'_, P::Passed, P::Link>) -> Result<R, RecvError>,
    ) -> Option<Result<R, CallError>> {
        let error = match self.take().wait(read) {
            Ok(value) => return Some(Ok(value)),
            Err(error) => error,
        };
        let error = self.method.failed(error);
        let Some(again) = &mut self.again else { return Some(Err(error)) };
        match again.after(error) {
            Ok(retry) => {
                self.pending = Some(P::retry(retry));
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    const fn take(&mut self) -> P {
        self.pending.take().expect("a call has one answer, which was taken")
    }
}

impl<P: Poll, T, E> Future for Call<P, T, E> {
    type Output = Answer<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Progress<Answer<T, E>> {
        loop {
            let pending = self.pending.as_mut().expect("a call has one answer, which was taken");
            if !pending.poll_done(context) {
                return Progress::Pending;
            }
            if let Some(answer) = self.try_finish() {
                return Progress::Ready(answer);
            }
        }
    }
}

impl<P: Pending, T, E> fmt::Debug for Call<P, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.method.name).finish()
    }
}

/// A value that can be looked at where it arrived.
pub trait View {
    /// As it looks there.
    type Of<'a>: Deserialize<'a>;
}

impl View for String {
    type Of<'a> = &'a str;
}

impl View for Vec<u8> {
    type Of<'a> = &'a [u8];
}

/// Many calls in flight, and their answers as they come, whichever is first. `K` is the caller's own mark for each.
///
/// A worker that is served nothing meanwhile but requests of the same chains; a host may also
/// [`await`](Self::next_async) the next.
///
/// ```
/// # use cloison_msg::contract::{Answers, Carrier};
/// # use cloison_msg::{Answer, interface};
/// #[interface]
/// trait Decoder {
///     fn decode(&self, packet: &[u8]) -> Answer<u32>;
/// }
///
/// fn decode_all<L: Carrier>(decoder: &DecoderClient<L>, packets: &[&[u8]]) -> Answer<u32> {
///     let mut answers = Answers::new();
///     for (number, packet) in packets.iter().enumerate() {
///         answers.add(number, decoder.start().decode(packet));
///     }
///     let mut sum = 0;
///     while let Some((_number, answer)) = answers.next() {
///         sum += answer?;
///     }
///     Ok(sum)
/// }
/// ```
pub struct Answers<K, P: Pending, T, E> {
    pending: Vec<P>,
    /// Of the call at the same place.
    marks: Vec<Mark<K, P, T, E>>,
}

struct Mark<K, P: Pending, T, E> {
    key: K,
    method: &'static Method,
    read: Read<P, T, E>,
    again: Option<Again<P::Link>>,
}

/// An answer, and the mark of its call.
pub type Ready<K, T, E> = (K, Answer<T, E>);

impl<K, P: Pending, T, E> Answers<K, P, T, E> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: Vec::new(), marks: Vec::new() }
    }

    /// One more call.
    pub fn add(&mut self, key: K, mut call: Call<P, T, E>) {
        self.pending.push(call.take());
        self.marks.push(Mark { key, method: call.method, read: call.read, again: call.again });
    }

    /// How many answers have not been taken yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is none to wait for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Waits for the next answer, of whichever call; `None` when all have been taken.
    #[expect(clippy::should_implement_trait, reason = "an iterator would be expected to borrow nothing for so long")]
    pub fn next(&mut self) -> Option<Ready<K, T, E>> {
        while !self.pending.is_empty() {
            let at = P::wait_any(&mut self.pending);
            if let Some(ready) = self.take(at) {
                return Some(ready);
            }
        }
        None
    }

    /// Waits for the next answer on any executor; `None` when all have been taken.
    pub async fn next_async(&mut self) -> Option<Ready<K, T, E>>
    where
        P: Poll,
    {
        while !self.pending.is_empty() {
            let at = poll_fn(|context| {
                // Each of them has to know whom to wake.
                let done = self.pending.iter_mut().position(|pending| pending.poll_done(context));
                done.map_or(Progress::Pending, Progress::Ready)
            });
            let at = at.await;
            if let Some(ready) = self.take(at) {
                return Some(ready);
            }
        }
        None
    }

    /// What became of a call; `None` if it is made again.
    fn take(&mut self, at: usize) -> Option<Ready<K, T, E>> {
        let pending = self.pending.swap_remove(at);
        let Mark { key, method, read, again } = self.marks.swap_remove(at);
        let mut call = Call { pending: Some(pending), method, read, again };
        if let Some(answer) = call.try_finish() {
            return Some((key, answer));
        }
        self.add(key, call);
        None
    }
}

impl<K, P: Pending, T, E> Default for Answers<K, P, T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, P: Pending, T, E> fmt::Debug for Answers<K, P, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("awaited", &self.len()).finish()
    }
}
