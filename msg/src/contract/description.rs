//! A contract as data.

use std::ops::Deref;
use std::time::Duration;

use super::sketch::Sketch;
use super::{Answer, MethodError};
use crate::{CallError, DescriptorClasses, Interface, MethodName, Rights, RightsFlags, RpcIndex, RpcSet, Streams};

/// A contract as data: an [`Interface`], its version, and what is said about each of its methods.
///
/// [`interface`](macro@crate::interface) makes one of a trait, as a constant; it can be used wherever an [`Interface`]
/// can.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    interface: Interface,
    version: u16,
    methods: &'static [Method],
}

/// What a contract says about one of its methods.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Method {
    /// Its number.
    pub rpc: RpcIndex,
    /// Its name.
    pub name: &'static str,
    /// The same with the interface's, as the errors of its calls say it.
    pub called: MethodName,
    /// As its author wrote it, for people.
    pub signature: &'static str,
    /// Whether nobody answers it.
    pub oneway: bool,
    /// Whether a call of it is made again if its server dies before it answers.
    pub idempotent: bool,
    /// Whether a server that has it not is a server all the same.
    pub optional: bool,
    /// How long a call of it takes at most, and if it has streams, each wait for an item; `None` for the caller's usual
    /// deadline.
    pub deadline: Option<Duration>,
    /// Longest arguments, in bytes.
    pub request_max: u32,
    /// Longest answer, in bytes.
    pub reply_max: u32,
    /// Classes of the descriptors that its arguments and its answer may be.
    pub classes: DescriptorClasses,
    /// Whether descriptors are among its arguments.
    pub takes_descriptors: bool,
    /// Whether descriptors are in its answer.
    pub gives_descriptors: bool,
    /// Whether buffers of a pool are among its arguments.
    pub lends: bool,
    /// Whether buffers of a pool are in its answer, or among the items that it gives.
    pub gives_buffers: bool,
    /// Whether it has an error of its own, which the answer has to tell from a value.
    pub fallible: bool,
    /// Whether a stream is among its arguments, and whether its answer is one.
    pub streams: Streams,
    sketch: fn(&mut Sketch),
}

impl Method {
    /// A method that takes and gives plain values, with nothing said about it. `sketch` draws its arguments and answer.
    #[must_use]
    pub const fn new(rpc: u16, called: MethodName, signature: &'static str, sketch: fn(&mut Sketch)) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a packet is 64 KiB")]
        let most = crate::PAYLOAD_MAX as u32;
        Self {
            rpc: RpcIndex(rpc),
            name: called.method,
            called,
            signature,
            oneway: false,
            idempotent: false,
            optional: false,
            deadline: None,
            request_max: most,
            reply_max: most,
            classes: DescriptorClasses::empty(),
            takes_descriptors: false,
            gives_descriptors: false,
            lends: false,
            gives_buffers: false,
            fallible: false,
            streams: Streams::empty(),
            sketch,
        }
    }

    /// A hash of what both sides must agree on to understand each other: the method's name, and the shapes of its
    /// arguments and its answer, down to the fields of structs. Not of what only one side heeds, such as the deadline.
    #[must_use]
    pub fn shape(&self) -> u64 {
        let mut sketch = Sketch::new();
        sketch.word(self.name);
        sketch.word(if self.oneway { "oneway" } else { "call" });
        (self.sketch)(&mut sketch);
        sketch.hash()
    }

    /// What its caller gets, from what the carrier says.
    pub(super) fn answer<T, E>(&'static self, outcome: Result<Result<T, E>, CallError>) -> Answer<T, E> {
        outcome.map_err(|error| self.failed(error))?.map_err(MethodError::Own)
    }

    /// The failure of a call of it, with its name.
    #[cold]
    pub(super) fn failed(&'static self, error: CallError) -> CallError {
        error.of(self.rpc, &self.called)
    }

    /// What its caller needs a right to.
    const fn rights_of_arguments(&self) -> DescriptorClasses {
        if self.takes_descriptors { self.classes } else { DescriptorClasses::empty() }
    }

    /// What whoever serves it needs a right to.
    const fn rights_of_answer(&self) -> DescriptorClasses {
        if self.gives_descriptors { self.classes } else { DescriptorClasses::empty() }
    }
}

impl Contract {
    /// The contract of that interface, version and methods.
    ///
    /// # Panics
    /// If the interface's methods are not these, by number. Contracts are constants, so that is a compile-time error.
    #[must_use]
    pub const fn new(interface: Interface, version: u16, methods: &'static [Method]) -> Self {
        let mut at = 0;
        while at < methods.len() {
            assert!(interface.method(methods[at].name).0 as usize == at, "the interface has other methods");
            at += 1;
        }
        Self { interface, version, methods }
    }

    /// The interface.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Its version: raised by its author when its meaning changes although its shape does not.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// Its methods, in the order of their numbers.
    #[must_use]
    pub const fn methods(&self) -> &'static [Method] {
        self.methods
    }

    /// A hash of the shapes of the first `count` methods.
    #[must_use]
    pub fn shape_of_first(&self, count: usize) -> u64 {
        let mut sketch = Sketch::new();
        for method in self.methods.iter().take(count) {
            sketch.number(method.shape());
        }
        sketch.hash()
    }

    /// The rights of whoever calls all of its methods and sends what they take, and no more.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights_to(self.interface.all())
    }

    /// The rights of whoever calls these of its methods.
    ///
    /// ```
    /// # use cloison_msg::{Answer, interface};
    /// #[interface]
    /// trait Door {
    ///     fn knock(&self) -> Answer<()>;
    ///     fn open(&self) -> Answer<()>;
    /// }
    /// let rights = DOOR.rights_to(DOOR.only(&["knock"]));
    /// assert!(!rights.methods.contains(DOOR.method("open")));
    /// ```
    #[must_use]
    pub fn rights_to(&self, methods: RpcSet) -> Rights {
        let mut rights = Rights { methods: methods.and(self.interface.all()), ..Rights::default() };
        for method in self.methods.iter().filter(|method| methods.contains(method.rpc)) {
            rights.flags |= if method.oneway { RightsFlags::ONEWAY } else { RightsFlags::CALL };
            if !method.streams.is_empty() {
                rights.flags |= RightsFlags::STREAM;
            }
            rights.classes |= method.rights_of_arguments();
            if method.lends {
                rights.flags |= RightsFlags::LEND;
            }
        }
        rights
    }

    /// The rights of whoever serves it: to call nothing, to answer with the descriptors that its methods give, and to lend the
    /// buffers.
    #[must_use]
    pub fn answer_rights(&self) -> Rights {
        let classes = self.methods.iter().map(Method::rights_of_answer).fold(DescriptorClasses::empty(), |a, b| a | b);
        let lends = self.methods.iter().any(|method| method.gives_buffers);
        Rights { classes, flags: if lends { RightsFlags::LEND } else { RightsFlags::empty() }, ..Rights::default() }
    }
}

/// So that a contract can be used wherever its interface can.
impl Deref for Contract {
    type Target = Interface;

    fn deref(&self) -> &Interface {
        &self.interface
    }
}
