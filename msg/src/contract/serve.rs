//! From requests to methods, and from what they give to replies.

use serde::Serialize;

use super::bind::{BindAnswer, BindQuestion};
use super::stream::Flows;
use super::{Carrier, Contract, Method, MethodError};
use crate::{AppendError, Descriptor, Failure, Message, Reader, RecvError, RpcIndex};

/// Serves a contract with an implementation of its trait. Made by [`interface`](macro@crate::interface): for a trait
/// `Decoder`, `DecoderServer::new(implementation)` is one.
///
/// A worker serves it wherever it serves a service; a host has what came to it served.
#[derive(Clone, Debug)]
pub struct Server<M>(M);

/// An implementation of a contract.
pub trait Serve {
    /// The contract.
    const CONTRACT: &'static Contract;

    /// What implements it.
    type Implementation;

    /// The methods of this implementation.
    fn new(implementation: Self::Implementation) -> Self;

    /// The implementation.
    fn implementation(&self) -> &Self::Implementation;
}

/// The methods of a contract, by number, as they are called over a carrier.
pub trait Dispatch<L: Carrier>: Serve {
    /// Serves one request: reads the arguments, calls the method, appends its answer. One whose answer is a stream is left in
    /// `flows`, to be pulled.
    ///
    /// # Errors
    /// [`Failure`], to be sent instead of a reply; what is in `reply` is then to be forgotten.
    fn dispatch(
        &self,
        rpc: RpcIndex,
        request: &mut Reader<'_, L::Passed, L>,
        reply: &mut Message<L::Sent>,
        flows: &mut Flows<L>,
    ) -> Result<(), Failure>;
}

impl<M: Serve> Server<M> {
    /// Serves with `implementation`.
    pub fn new(implementation: M::Implementation) -> Self {
        Self(M::new(implementation))
    }

    /// The implementation.
    pub fn implementation(&self) -> &M::Implementation {
        self.0.implementation()
    }

    /// The contract that it serves.
    #[must_use]
    pub const fn contract(&self) -> &'static Contract {
        M::CONTRACT
    }

    /// Serves one request: a method, or the question whether the contract is the same. An answer that is a stream is left in
    /// `flows`, to be pulled.
    ///
    /// # Errors
    /// [`Failure`], to be sent instead of a reply; what is in `reply` is then to be forgotten.
    pub fn answer<L: Carrier>(
        &self,
        rpc: RpcIndex,
        request: &mut Reader<'_, L::Passed, L>,
        reply: &mut Message<L::Sent>,
        flows: &mut Flows<L>,
    ) -> Result<(), Failure>
    where
        M: Dispatch<L>,
    {
        if rpc == RpcIndex::BIND {
            return answer_bind(M::CONTRACT, request, reply);
        }
        self.0.dispatch(rpc, request, reply, flows)
    }
}

/// Answers the question, which came by [`RpcIndex::BIND`], whether the other side means that contract, too.
///
/// Nothing that is answered depends on more than whether two numbers are the same; nothing is kept.
///
/// # Errors
/// [`Failure`], to be sent instead of a reply.
pub fn answer_bind<D, L, F>(
    contract: &Contract,
    request: &mut Reader<'_, D, L>,
    reply: &mut Message<F>,
) -> Result<(), Failure> {
    let question: BindQuestion = request.recv()?;
    finish(request)?;
    reply.append(&BindAnswer::to(&question, contract))?;
    Ok(())
}

/// Whether a request may be read at all.
pub fn admit<D, L>(method: &Method, request: &Reader<'_, D, L>) -> Result<(), Failure> {
    let (bytes, most) = (request.remaining(), method.request_max);
    if bytes > most as usize {
        return Err(RecvError::Bound { bytes, most }.into());
    }
    Ok(())
}

/// The next descriptor, if it is of a class that the method names.
pub fn descriptor<D: Descriptor, L>(method: &Method, reader: &mut Reader<'_, D, L>) -> Result<D, RecvError> {
    let descriptor = reader.descriptor()?;
    if method.classes.contains(descriptor.class()) { Ok(descriptor) } else { Err(RecvError::Class) }
}

/// All arguments were read.
pub fn finish<D, L>(request: &mut Reader<'_, D, L>) -> Result<(), RecvError> {
    std::mem::replace(request, Reader::new(&[], Vec::new()).with_links(Vec::new())).finish()
}

/// What stands in front of a value.
pub fn succeed<F>(method: &Method, reply: &mut Message<F>) -> Result<(), AppendError> {
    if method.fallible {
        reply.append(&0u8)?;
    }
    Ok(())
}

/// Whether what follows in a reply is the method's own error.
pub fn failed<D, L>(reply: &mut Reader<'_, D, L>) -> Result<bool, RecvError> {
    match reply.recv::<u8>()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(RecvError::Value),
    }
}

/// The whole answer of a method that gave no value.
pub fn fail<E: Serialize, F>(error: MethodError<E>, reply: &mut Message<F>) -> Result<(), Failure> {
    match error {
        MethodError::Own(error) => {
            reply.append(&1u8)?.append(&error)?;
            Ok(())
        }
        MethodError::Call(error) => Err(error.into()),
    }
}
