//! Turns a trait into a contract: its table of methods, a client, a server. It is *not* used by itself: `cloison-msg`,
//! `cloison-worker` and `cloison-broker` each re-export it as `interface`, and what it makes names nothing but the
//! `contract` module of the one it was used from.
//!
//! ```text
//! parse/   from the trait to a description, or to errors that say what to write instead
//! make/    from the description to code: data, client, calls, server
//! ```
#![forbid(unsafe_code)]

mod make;
mod parse;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a contract of a trait.
///
/// Of a trait `Decoder` it makes, beside the trait:
///
/// | | |
/// |---|---|
/// | `DECODER` | the contract as data: an interface, for policies, and what the attributes say |
/// | `DecoderClient` | a client, over a worker's link or a host's; it implements the trait |
/// | `DecoderCalls` | what `DecoderClient::start` gives: the same methods, begun and not waited for |
/// | `DecoderServer` | serves with an implementation of the trait: `DecoderServer::new(implementation)` |
///
/// The trait is also implemented for references, `Rc` and `Arc` of an implementation, and for `Placed`.
///
/// # The trait
///
/// A method's place is its number, so methods are added at the end; there are at most 64. Each takes `&self`, since a
/// server may be entered again while a call of its own waits, and gives an `Answer<T>`, or `Answer<T, E>` if it has an
/// error of its own.
///
/// | an argument | travels as | arrives |
/// |---|---|---|
/// | any serde type, by value or by reference | itself | made anew |
/// | `&str`, `&[u8]`, what borrows those | itself | borrowed from the message: nothing is copied |
/// | `Vec<u8>` | a run of bytes | copied once |
/// | `&[T]` | a sequence | as a vector that is borrowed to the method |
/// | `OwnedFd`, `Passed` | a descriptor | the same, if it is of a class that `#[descriptors]` names |
/// | `BufferRef` | the name of a buffer | the same: have the link borrow the buffer |
/// | `Stream<T>` | items that follow the call, one after the other | an iterator, to be pulled |
///
/// What a method gives may be a stream: `-> Stream<T>`, or `-> Stream<T, E>` if it has an error of its own, by which it then
/// ends. An answer is any serde type that borrows nothing, `Vec<u8>`, a descriptor, or a tuple of those.
///
/// # Attributes
///
/// `#[interface(name = "video-decoder", version = 2)]`: the name is the trait's in lower case unless said, the version 0.
///
/// | of a method | |
/// |---|---|
/// | `#[oneway]` | nobody answers it; its caller hears only whether it was sent |
/// | `#[idempotent]` | served twice it does what it does once: if its server dies, the runtime calls its successor, within the deadline |
/// | `#[optional]` | servers may be older than it; stands on the last methods only |
/// | `#[deadline("250ms")]` | a call takes no longer, whatever its caller says, and of one with streams no wait for an item; `us`, `ms`, `s`; an hour at most |
/// | `#[limit(request = 4096, reply = 64)]` | bytes that arguments and answer may take, and each item of a stream; both sides see to it |
/// | `#[descriptors(READ_ONLY_FILE, PIPE)]` | classes of the descriptors it takes or gives; both sides see to it |
/// | `#[buffers]` | what it gives names buffers, in a type that does not say `BufferRef`; its server needs the right to lend |
#[proc_macro_attribute]
pub fn interface(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, quote!(::cloison_msg))
}

/// `interface`, for crates that know `cloison-worker`.
#[proc_macro_attribute]
pub fn interface_of_worker(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, quote!(::cloison_worker::msg))
}

/// `interface`, for crates that know `cloison-broker`.
#[proc_macro_attribute]
pub fn interface_of_broker(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, quote!(::cloison_broker::msg))
}

fn expand(arguments: TokenStream, item: TokenStream, msg: proc_macro2::TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    match parse::contract(arguments.into(), item.clone(), msg) {
        Ok(contract) => make::all(&contract).into(),
        Err(error) => {
            // With the trait there, the compiler has nothing to add about those who use it.
            let (item, error) = (parse::without_our_attributes(item), error.into_compile_error());
            quote!(#item #error).into()
        }
    }
}
