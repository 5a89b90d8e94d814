//! One method.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{Attribute, Error, FnArg, GenericParam, Generics, Ident, Receiver, Result, Signature, TraitItemFn, Type};

use super::answer::{self, Element, Given};
use super::argument::item_of;
use super::{Argument, Kind, Options};

/// Most descriptors that one message carries.
const DESCRIPTORS_MAX: usize = 16;

/// Most links that one message carries.
const LINKS_MAX: usize = 4;

/// Whether the name of a buffer stands somewhere in a type.
struct Names(bool);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.0 |= ident == "BufferRef";
    }
}

/// A method of a contract.
pub struct Method {
    pub ident: Ident,
    /// Documentation and the like, without our attributes.
    pub attrs: Vec<Attribute>,
    /// Lifetimes only.
    pub generics: Generics,
    pub arguments: Vec<Argument>,
    /// The type of the value.
    pub value: Type,
    /// What the value consists of.
    pub elements: Vec<Element>,
    /// Whether that is each item of a stream, which is what it gives.
    pub is_stream: bool,
    /// The type of the method's own error.
    pub error: Option<Type>,
    pub options: Options,
    /// As it was written, on one line.
    pub signature: String,
    pub sig: Signature,
}

impl Method {
    /// Whether what it gives says that buffers of a pool are in it.
    pub fn names_buffers(&self) -> bool {
        let mut names = Names(false);
        names.visit_type(&self.value);
        names.0
    }

    pub fn parse(item: &mut TraitItemFn) -> Result<Self> {
        let options = Options::take(&mut item.attrs)?;
        if let Some(conditional) = item.attrs.iter().find(|attribute| attribute.path().is_ident("cfg")) {
            let what = "a method's number must not depend on how it is compiled: remove `cfg`";
            return Err(Error::new_spanned(conditional, what));
        }
        if let Some(body) = &item.default {
            let what = "a method of a contract has no body: write it in the implementation; \
                        for a method that older servers lack write #[optional]";
            return Err(Error::new_spanned(body, what));
        }
        check_signature(&item.sig)?;
        let Given { value, error, is_stream } = Given::parse(&item.sig, options.oneway.as_ref())?;
        let method = Self {
            ident: item.sig.ident.clone(),
            attrs: item.attrs.clone(),
            generics: item.sig.generics.clone(),
            arguments: arguments(&item.sig)?,
            elements: if is_stream { vec![item_of(&value)?] } else { answer::elements(&value)? },
            value,
            is_stream,
            error,
            options,
            signature: plain(&item.sig),
            sig: item.sig.clone(),
        };
        method.check_descriptors()?;
        method.check_links()?;
        method.check_streams()?;
        method.check_idempotent()?;
        Ok(method)
    }

    /// Whether descriptors are among the arguments.
    pub fn takes_descriptors(&self) -> bool {
        self.arguments.iter().any(|argument| argument.kind == Kind::Descriptor)
    }

    /// Whether descriptors are in the answer.
    pub fn gives_descriptors(&self) -> bool {
        self.elements.iter().any(|element| element.kind == Kind::Descriptor)
    }

    /// The first link that it takes or gives.
    pub fn first_link(&self) -> Option<&Type> {
        let taken = self.arguments.iter().filter(|argument| argument.kind.is_link()).map(|argument| &argument.ty);
        let given = self.elements.iter().filter(|element| element.kind.is_link()).map(|element| &element.ty);
        taken.chain(given).next()
    }

    /// The argument that is a stream.
    pub fn fed(&self) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.kind == Kind::Stream)
    }

    /// Whether it takes a stream, or gives one.
    pub fn has_streams(&self) -> bool {
        self.is_stream || self.fed().is_some()
    }

    fn check_streams(&self) -> Result<()> {
        let fed: Vec<_> = self.arguments.iter().filter(|argument| argument.kind == Kind::Stream).collect();
        if let Some(second) = fed.get(1) {
            let what = "a call is fed one stream: make it one of an enum, whose items are the one or the other";
            return Err(Error::new_spanned(&second.ty, what));
        }
        if let (Some(fed), Some(oneway)) = (fed.first(), &self.options.oneway) {
            let what = format!("nobody says how much of `{}` may be sent on: remove this", fed.ident);
            return Err(Error::new_spanned(oneway, what));
        }
        if let (true, Some(idempotent)) = (self.has_streams(), &self.options.idempotent) {
            let what = "what has come of a stream does not come again, so such a call is made once: remove this, and have the \
                        caller begin again where it was";
            return Err(Error::new_spanned(idempotent, what));
        }
        Ok(())
    }

    fn check_links(&self) -> Result<()> {
        let taken = self.arguments.iter().filter(|argument| argument.kind.is_link()).count();
        let given = self.elements.iter().filter(|element| element.kind.is_link()).count();
        if taken.max(given) > LINKS_MAX {
            let what = format!("a message carries at most {LINKS_MAX} links");
            return Err(Error::new_spanned(&self.ident, what));
        }
        Ok(())
    }

    /// What a message gives away it can give once.
    fn check_idempotent(&self) -> Result<()> {
        let given =
            |argument: &&Argument| argument.kind == Kind::Descriptor || argument.kind.is_link() || argument.is_buffer();
        match self.arguments.iter().find(given) {
            Some(argument) if self.options.idempotent.is_some() => {
                let what = "a descriptor, a link or a buffer goes with the first attempt, and the method is #[idempotent]: \
                            pass it by a method of its own before, or have the caller call again";
                Err(Error::new_spanned(&argument.ty, what))
            }
            _ => Ok(()),
        }
    }

    fn check_descriptors(&self) -> Result<()> {
        let taken = self.arguments.iter().filter(|argument| argument.kind == Kind::Descriptor).count();
        let given = self.elements.iter().filter(|element| element.kind == Kind::Descriptor).count();
        if taken.max(given) > DESCRIPTORS_MAX {
            let what = format!("a message carries at most {DESCRIPTORS_MAX} descriptors");
            return Err(Error::new_spanned(&self.ident, what));
        }
        match &self.options.classes {
            None if taken + given > 0 => {
                let what = "say of which classes its descriptors may be: write `#[descriptors(READ_ONLY_FILE)]`, or \
                            another of SEALED_BUFFER, READ_ONLY_FILE, READ_WRITE_FILE, PIPE, SOCKET";
                Err(Error::new_spanned(&self.ident, what))
            }
            Some(classes) if taken + given == 0 => {
                let what = "it takes and gives no descriptor: remove this, or give an argument the type `OwnedFd`";
                Err(Error::new_spanned(&classes[0], what))
            }
            _ => Ok(()),
        }
    }
}

fn check_signature(sig: &Signature) -> Result<()> {
    if let Some(asyncness) = sig.asyncness {
        let what = "write `fn`: whoever wants to await it calls it by the client's `start()`";
        return Err(Error::new_spanned(asyncness, what));
    }
    if let Some(unsafety) = sig.unsafety {
        return Err(Error::new_spanned(unsafety, "what is called from another process must be safe: remove `unsafe`"));
    }
    for parameter in &sig.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            let what =
                "a method of a contract has no such parameters: what travels must have one shape, so name a type";
            return Err(Error::new_spanned(parameter, what));
        }
    }
    check_receiver(sig)
}

fn check_receiver(sig: &Signature) -> Result<()> {
    let what = "write `&self`: a server may be entered again while a call of its own waits; \
                keep what changes in a `Cell` or `RefCell`";
    match sig.inputs.first() {
        Some(FnArg::Receiver(Receiver { reference: Some(_), mutability: None, colon_token: None, .. })) => Ok(()),
        Some(FnArg::Receiver(receiver)) => Err(Error::new_spanned(receiver, what)),
        _ => Err(Error::new_spanned(&sig.ident, format!("its first argument is missing: {what}"))),
    }
}

fn arguments(sig: &Signature) -> Result<Vec<Argument>> {
    sig.inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(input) => Some(Argument::parse(input)),
            FnArg::Receiver(_) => None,
        })
        .collect()
}

/// The signature on one line, as a person would write it.
fn plain(sig: &Signature) -> String {
    let tokens = sig.to_token_stream().to_string();
    let mut text = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    for (spaced, close) in [
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" :", ":"),
        ("& ", "&"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("- >", "->"),
        (" ;", ";"),
        ("[ ", "["),
        (" ]", "]"),
        (":: ", "::"),
    ] {
        text = text.replace(spaced, close);
    }
    text.replace(")->", ") ->").replace("->", "-> ").replace("->  ", "-> ").replace(",)", ")")
}
