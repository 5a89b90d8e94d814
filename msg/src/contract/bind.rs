//! Whether two sides mean the same contract: asked once, when a link is bound to a client.
//!
//! The question is a call of [`RpcIndex::BIND`](crate::RpcIndex::BIND) over the link itself, answered by the server's
//! runtime. So it takes the way of every call, under both models, and asks nothing of the broker but what every message
//! does: whoever may call or tell something over a link may ask this. It grants nothing, and neither side keeps anything
//! of it. A side that lies gets what it would get by answering calls with rubbish: a peer that reads its replies with
//! care. Names and signatures that the other side claims are [`Text`], fit for a terminal.
//!
//! Methods are added at the end. So what has to be the same is the interface's name, its version, and the shapes of all
//! methods that the client knows; the server may have more. If the server has fewer, those it lacks must be optional.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll as Progress;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::serve::answer_bind as answer;
use super::{Carrier, Contract, Method, Pending, Poll};
use crate::{CallError, METHODS_MAX, Message, Name, Reader, RecvError, RpcIndex, Text};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindQuestion {
    /// The interface's name.
    pub interface: Name,
    /// The contract's version.
    pub version: u16,
    /// How many methods the client knows.
    pub methods: u16,
    /// [`Contract::shape_of_first`] of that many.
    pub shape: u64,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindAnswer {
    /// It is the same.
    Same,
    /// It is not, or the server has fewer methods: this is what it has.
    Other(Claim),
}

/// What a server says it serves. Nothing in it is to be believed; it is compared, and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The interface's name.
    pub interface: Name,
    /// The contract's version.
    pub version: u16,
    /// Its methods in order.
    pub methods: Vec<ClaimedMethod>,
}

/// What a server says about one method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedMethod {
    /// As its author wrote it.
    pub signature: Text,
    /// [`Method::shape`].
    pub shape: u64,
}

impl BindQuestion {
    /// What a client of this contract asks.
    #[must_use]
    pub fn about(contract: &Contract) -> Self {
        let count = contract.methods().len();
        Self {
            interface: contract.name(),
            version: contract.version(),
            methods: u16::try_from(count).unwrap_or(u16::MAX),
            shape: contract.shape_of_first(count),
        }
    }

    /// Writes the question.
    ///
    /// # Errors
    /// None in fact: it is short.
    pub fn append_to<F>(&self, message: &mut Message<F>) -> Result<(), crate::AppendError> {
        message.append(self).map(|_| ())
    }
}

impl BindAnswer {
    /// What a server of this contract answers.
    #[must_use]
    pub fn to(question: &BindQuestion, contract: &Contract) -> Self {
        let count = usize::from(question.methods);
        let same = question.interface == contract.name()
            && question.version == contract.version()
            && count <= contract.methods().len()
            && question.shape == contract.shape_of_first(count);
        if same { Self::Same } else { Self::Other(Claim::of(contract)) }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`RecvError`]: it is none.
    pub fn read<D, L>(reader: &mut Reader<'_, D, L>) -> Result<Self, RecvError> {
        let answer: Self = reader.recv()?;
        match &answer {
            Self::Other(claim) if claim.methods.len() > METHODS_MAX => Err(RecvError::Value),
            _ => Ok(answer),
        }
    }

    /// How many of the contract's methods a client can call after this answer.
    ///
    /// # Errors
    /// [`Mismatch`] if the two sides do not mean the same.
    pub fn served(self, contract: &Contract, server: &Name) -> Result<u16, Box<Mismatch>> {
        let all = u16::try_from(contract.methods().len()).unwrap_or(u16::MAX);
        match self {
            Self::Same => Ok(all),
            Self::Other(claim) => claim.compare(contract).map_err(|what| {
                let ours = (contract.name(), contract.version());
                let theirs = (claim.interface, claim.version);
                Box::new(Mismatch { server: server.clone(), ours, theirs, what })
            }),
        }
    }
}

impl Claim {
    fn of(contract: &Contract) -> Self {
        let claim = |method: &Method| ClaimedMethod { signature: method.signature.into(), shape: method.shape() };
        let methods = contract.methods().iter().map(claim).collect();
        Self { interface: contract.name(), version: contract.version(), methods }
    }

    pub(super) fn compare(&self, contract: &Contract) -> Result<u16, Difference> {
        if self.interface != contract.name() {
            return Err(Difference::Interface);
        }
        if self.version != contract.version() {
            return Err(Difference::Version);
        }
        for (number, ours) in (0..).zip(contract.methods()) {
            match self.methods.get(usize::from(number)) {
                Some(theirs) if theirs.shape == ours.shape() => {}
                Some(theirs) => return Err(Difference::method(number, ours, theirs)),
                None if contract.methods()[usize::from(number)..].iter().all(|method| method.optional) => {
                    return Ok(number);
                }
                None => return Err(Difference::Missing { number, ours: ours.signature }),
            }
        }
        // The hash of all said otherwise: so it was a claim without truth.
        Ok(u16::try_from(contract.methods().len()).unwrap_or(u16::MAX))
    }
}

/// Two sides that do not mean the same contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this side means {:?} version {}, {server} serves {:?} version {}: {what}",
    ours.0.as_str(), ours.1, theirs.0.as_str(), theirs.1
)]
pub struct Mismatch {
    /// The role of the server.
    pub server: Name,
    /// Interface and version of this side.
    pub ours: (Name, u16),
    /// Interface and version of the server, as it says.
    pub theirs: (Name, u16),
    /// The first thing that differs.
    pub what: Difference,
}

/// The first thing in which two contracts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The interfaces.
    Interface,
    /// The versions.
    Version,
    /// A method.
    Method {
        /// Its number.
        number: u16,
        /// This side's.
        ours: &'static str,
        /// The server's, as it says.
        theirs: Text,
    },
    /// A method of this side that the server has not.
    Missing {
        /// Its number.
        number: u16,
        /// This side's.
        ours: &'static str,
    },
}

impl Difference {
    fn method(number: u16, ours: &Method, theirs: &ClaimedMethod) -> Self {
        Self::Method { number, ours: ours.signature, theirs: theirs.signature.clone() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface => f.write_str("these are two interfaces"),
            Self::Version => f.write_str("build both sides from the same release of the contract"),
            Self::Missing { number, ours } => {
                write!(f, "method {number}, `{ours}`, is missing there; mark it #[optional], or update the server")
            }
            Self::Method { number, ours, theirs } if theirs.as_str().is_empty() => {
                write!(f, "method {number}, `{ours}`, is another there")
            }
            Self::Method { number, ours, theirs } if *ours == theirs.as_str() => {
                write!(f, "method {number}, `{ours}`, takes or gives a type whose fields or variants differ")
            }
            Self::Method { number, ours, theirs } => {
                write!(f, "method {number} is `{ours}` here and `{theirs}` there")
            }
        }
    }
}

/// Why there is no client. `O` is why no link was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError<O> {
    /// There is no link.
    #[error(transparent)]
    Open(O),
    /// The other side did not say what it serves. One that answers [`NoSuchMethod`](crate::Failure::NoSuchMethod) serves
    /// messages without a contract: open a link to it, and use that.
    #[error("what it serves could not be asked: {0}")]
    Ask(CallError),
    /// The two sides do not mean the same.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
}

/// Asks over `link`, which leads to `server`, whether both sides mean `contract`: how many of its methods are there. `within`
/// is how long that may take; `None` for what the carrier holds to be usual.
///
/// # Errors
/// [`BindError::Ask`] or [`BindError::Mismatch`].
pub fn ask<L: Carrier, O>(
    link: &L,
    server: &Name,
    contract: &'static Contract,
    within: Option<Duration>,
) -> Result<u16, BindError<O>> {
    let question = BindQuestion::about(contract);
    let answer = link.call(RpcIndex::BIND, within, |message| question.append_to(message), BindAnswer::read);
    settle(answer, server, contract)
}

/// Asks as [`ask`] does, on any executor.
///
/// # Errors
/// [`BindError::Ask`] or [`BindError::Mismatch`].
pub async fn ask_async<L, O>(
    link: &L,
    server: &Name,
    contract: &'static Contract,
    within: Option<Duration>,
) -> Result<u16, BindError<O>>
where
    L: Carrier<Pending: Poll>,
{
    let question = BindQuestion::about(contract);
    let mut pending = link.start(RpcIndex::BIND, within, |message| question.append_to(message));
    poll_fn(|context| if pending.poll_done(context) { Progress::Ready(()) } else { Progress::Pending }).await;
    settle(pending.wait(BindAnswer::read), server, contract)
}

fn settle<O>(
    answer: Result<BindAnswer, CallError>,
    server: &Name,
    contract: &'static Contract,
) -> Result<u16, BindError<O>> {
    answer.map_err(BindError::Ask)?.served(contract, server).map_err(BindError::Mismatch)
}
