//! Interfaces: numbered sets of methods.

use std::fmt;

use crate::{Name, RpcIndex, RpcSet};

/// A numbered set of methods, as data. A method's place in the list is its [`RpcIndex`], so methods are added at the end.
///
/// ```
/// # use cloison_msg::{Interface, RpcIndex};
/// pub const VIDEO: Interface = Interface::new("video-decoder", &["open", "packet", "flush"]);
/// pub const PACKET: RpcIndex = VIDEO.method("packet");
/// assert!(VIDEO.only(&["open", "packet"]).contains(PACKET));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    name: &'static str,
    methods: &'static [&'static str],
}

/// What a method is called, and of which interface it is: for people, as errors say it. On the wire it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodName {
    /// The interface's name.
    pub interface: &'static str,
    /// The method's.
    pub method: &'static str,
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.method, self.interface)
    }
}

/// Most methods that an interface can have: what a set of them holds.
pub const METHODS_MAX: usize = 64;

impl Interface {
    /// An interface of that name with these methods.
    ///
    /// # Panics
    /// If there are more than [`METHODS_MAX`] methods. Interfaces are constants, so that is a compile-time error.
    #[must_use]
    pub const fn new(name: &'static str, methods: &'static [&'static str]) -> Self {
        assert!(methods.len() <= METHODS_MAX, "an interface has at most 64 methods");
        Self { name, methods }
    }

    /// The interface's name.
    ///
    /// # Panics
    /// If it is no [`Name`].
    #[must_use]
    pub fn name(&self) -> Name {
        Name::new(self.name).expect("an interface's name is a constant that its author has seen work")
    }

    /// The index of the method called `name`.
    ///
    /// # Panics
    /// If there is no such method. In a constant, that is a compile-time error.
    #[must_use]
    pub const fn method(&self, name: &str) -> RpcIndex {
        let mut at = 0;
        while at < self.methods.len() {
            if same(self.methods[at], name) {
                #[expect(clippy::cast_possible_truncation, reason = "METHODS_MAX fits")]
                return RpcIndex(at as u16);
            }
            at += 1;
        }
        panic!("the interface has no method of that name")
    }

    /// The name of a method, for people; `"?"` if there is none.
    #[must_use]
    pub fn method_name(&self, rpc: RpcIndex) -> &'static str {
        self.methods.get(usize::from(rpc.0)).copied().unwrap_or("?")
    }

    /// All its methods.
    #[must_use]
    pub const fn all(&self) -> RpcSet {
        RpcSet::first(self.methods.len())
    }

    /// These of its methods.
    ///
    /// # Panics
    /// If one does not exist.
    #[must_use]
    pub const fn only(&self, names: &[&str]) -> RpcSet {
        let (mut set, mut at) = (RpcSet::NONE, 0);
        while at < names.len() {
            set = set.with(self.method(names[at]));
            at += 1;
        }
        set
    }
}

/// `==` on strings, which is not yet constant.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_numbered_in_order() {
        const TWO: Interface = Interface::new("two", &["first", "second"]);
        assert_eq!(TWO.method("second"), RpcIndex(1));
        assert_eq!(TWO.method_name(RpcIndex(1)), "second");
        assert_eq!(TWO.method_name(RpcIndex(2)), "?");
        assert_eq!(TWO.only(&["second"]), RpcSet::NONE.with(RpcIndex(1)));
        assert_eq!(TWO.all(), RpcSet::first(2));
    }
}
