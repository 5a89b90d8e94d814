//! Where an implementation runs.

/// Two implementations of one contract, of which one is there: as a rule one in this process, and a client of one
/// elsewhere. It implements the contract's trait itself, so that whoever calls does not know.
///
/// A caller that is generic over the trait needs this only where the choice is made while it runs.
///
/// ```
/// # use cloison_msg::{Answer, contract::Placed, interface};
/// #[interface]
/// pub trait Counter {
///     fn add(&self, by: u32) -> Answer<u32>;
/// }
///
/// struct Here;
/// impl Counter for Here {
///     fn add(&self, by: u32) -> Answer<u32> {
///         Ok(by + 1)
///     }
/// }
///
/// fn count(counter: &impl Counter) -> Answer<u32> {
///     counter.add(41)
/// }
/// assert_eq!(count(&Here), Ok(42));
/// # type Elsewhere = Here;
/// let counter: Placed<Here, Elsewhere> = Placed::Here(Here);
/// assert_eq!(count(&counter), Ok(42));
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Placed<A, B> {
    /// In this process: a plain call.
    Here(A),
    /// In another process.
    There(B),
}
