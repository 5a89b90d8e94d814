//! What a method takes.

use quote::ToTokens;
use syn::{Error, Expr, ExprLit, Ident, Pat, PatType, Result, Type, TypePath};

use super::answer::Element;

/// What a contract calls the carrier of its links.
pub const CARRIER: &str = "L";

/// One argument.
pub struct Argument {
    pub ident: Ident,
    /// As it was written.
    pub ty: Type,
    pub kind: Kind,
    /// Of a stream, what each of its items is.
    pub item: Option<Element>,
}

/// How a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As serde writes it, by value.
    Value,
    /// As serde writes it; the sender keeps it, and the receiver borrows its own to the method.
    Reference,
    /// `&str`, borrowed at both ends.
    Str,
    /// `&[u8]`, borrowed at both ends.
    Bytes,
    /// `Vec<u8>`.
    ByteVec,
    /// `&[T]`.
    Slice,
    /// Beside the payload.
    Descriptor,
    /// A client: its link is given away, beside the payload.
    Link,
    /// `&` and a client: its link is copied.
    LinkCopy,
    /// `Stream<T>`: items that follow the call.
    Stream,
}

impl Kind {
    /// Whether it is a link.
    pub const fn is_link(self) -> bool {
        matches!(self, Self::Link | Self::LinkCopy)
    }
}

impl Argument {
    pub fn parse(input: &PatType) -> Result<Self> {
        let Pat::Ident(name) = &*input.pat else {
            return Err(Error::new_spanned(&input.pat, "an argument of a contract has a name"));
        };
        if name.by_ref.is_some() || name.mutability.is_some() || name.subpat.is_some() {
            return Err(Error::new_spanned(name, format!("write the name alone: `{}`", name.ident)));
        }
        let (ident, ty) = (name.ident.clone(), (*input.ty).clone());
        match fed(&ty)? {
            Some(item) => Ok(Self { ident, ty, kind: Kind::Stream, item: Some(item) }),
            None => Ok(Self { ident, kind: kind(&ty)?, ty, item: None }),
        }
    }

    /// Whether it names a buffer of a pool.
    pub fn is_buffer(&self) -> bool {
        last_name(&self.ty).is_some_and(|name| name == "BufferRef")
    }
}

/// What the items of an argument are that is a stream.
fn fed(ty: &Type) -> Result<Option<Element>> {
    let inner = if let Type::Reference(reference) = ty { &*reference.elem } else { ty };
    let Type::Path(path) = inner else { return Ok(None) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Stream") else { return Ok(None) };
    if !matches!(ty, Type::Path(_)) {
        return Err(Error::new_spanned(ty, "a stream is used up: take it by value, `Stream<T>`"));
    }
    match &types_of(last)[..] {
        [item] => item_of(item).map(Some),
        _ => {
            let what = "what is fed fails as its feeder's own calls do, and by no other error: write `Stream<T>`";
            Err(Error::new_spanned(ty, what))
        }
    }
}

/// An item of a stream.
pub fn item_of(ty: &Type) -> Result<Element> {
    super::answer::check_owned(ty, "an item outlives the message it came in")?;
    match of_value(ty)? {
        kind @ (Kind::Value | Kind::ByteVec) => Ok(Element { ty: ty.clone(), kind }),
        _ => {
            let what = "an item carries neither descriptors nor links: give these by an argument or an answer, and large \
                        things by the name of a buffer, `BufferRef`";
            Err(Error::new_spanned(ty, what))
        }
    }
}

/// The types that stand behind a name.
pub fn types_of(segment: &syn::PathSegment) -> Vec<Type> {
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    types.collect()
}

fn kind(ty: &Type) -> Result<Kind> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            let what = "nothing is written back to a caller: take `&` or a value, and return what has changed";
            Err(Error::new_spanned(ty, what))
        }
        Type::Reference(reference) => match &*reference.elem {
            Type::Slice(slice) if is_u8(&slice.elem) => Ok(Kind::Bytes),
            Type::Slice(_) => Ok(Kind::Slice),
            inner if last_name(inner).is_some_and(|name| name == "str") => Ok(Kind::Str),
            inner => match of_value(inner)? {
                Kind::Descriptor => {
                    let what = "a descriptor is given away: take it by value; its sender may `try_clone` it before";
                    Err(Error::new_spanned(ty, what))
                }
                Kind::Link => Ok(Kind::LinkCopy),
                _ => Ok(Kind::Reference),
            },
        },
        _ => of_value(ty),
    }
}

/// How a value of this type travels, if it does.
pub fn of_value(ty: &Type) -> Result<Kind> {
    let wrong = |what: &str| Err(Error::new_spanned(ty, what));
    match ty {
        Type::ImplTrait(_) => wrong("what travels must have one shape: name a type"),
        Type::TraitObject(_) => wrong("what travels must have one shape: name a type, an enum perhaps"),
        Type::BareFn(_) => wrong("code does not travel: have the peer call a method of yours over the link"),
        Type::Ptr(_) => wrong("an address means nothing in another process: pass the value"),
        Type::Never(_) | Type::Infer(_) | Type::Macro(_) => wrong("name a type"),
        Type::Paren(inner) => of_value(&inner.elem),
        Type::Group(inner) => of_value(&inner.elem),
        Type::Path(path) => of_path(ty, path),
        _ => Ok(Kind::Value),
    }
}

fn of_path(ty: &Type, path: &TypePath) -> Result<Kind> {
    let Some(last) = path.path.segments.last() else { return Ok(Kind::Value) };
    let name = last.ident.to_string();
    match name.as_str() {
        "OwnedFd" | "Passed" => Ok(Kind::Descriptor),
        "BorrowedFd" | "RawFd" | "File" => {
            Err(Error::new_spanned(ty, "a descriptor travels as `OwnedFd`: write that, and convert at both ends"))
        }
        "BufferMut" | "Borrowed" => {
            Err(Error::new_spanned(ty, "a buffer travels by its name: write `BufferRef`, which `lend` gives"))
        }
        "Stream" => {
            let what = "a stream stands by itself: write an argument of type `Stream<T>`, or give `-> Stream<T, E>`";
            Err(Error::new_spanned(ty, what))
        }
        "Link" | "HostLink" | "Client" => Err(bare_link(ty)),
        _ if name.ends_with("Client") => match first_argument(last) {
            Some(carrier) if last_name(carrier).is_some_and(|name| name == CARRIER) => Ok(Kind::Link),
            _ => Err(bare_link(ty)),
        },
        "Vec" if first_argument(last).is_some_and(is_u8) => Ok(Kind::ByteVec),
        "Vec" | "Option" | "Box" if first_argument(last).and_then(last_name).is_some_and(|inner| inner == "Stream") => {
            let what = "a stream stands by itself: write an argument of type `Stream<T>`, or give `-> Stream<T, E>`";
            Err(Error::new_spanned(ty, what))
        }
        "Vec" | "Option"
            if first_argument(last).is_some_and(|inner| matches!(of_value(inner), Ok(Kind::Descriptor))) =>
        {
            Err(Error::new_spanned(ty, "descriptors travel one by one: write an argument of type `OwnedFd` for each"))
        }
        "Vec" | "Option" | "Box"
            if first_argument(last).is_some_and(|inner| matches!(of_value(inner), Ok(Kind::Link))) =>
        {
            Err(Error::new_spanned(ty, "links travel one by one: write an argument of the client's type for each"))
        }
        _ => Ok(Kind::Value),
    }
}

fn bare_link(ty: &Type) -> Error {
    let what = "a link travels as a client of what is served over it: write `OtherClient<L>`, or `&OtherClient<L>` for a \
                copy, for a trait `Other`, and `L` behind the name of this trait";
    Error::new_spanned(ty, what)
}

fn first_argument(segment: &syn::PathSegment) -> Option<&Type> {
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

fn is_u8(ty: &Type) -> bool {
    last_name(ty).is_some_and(|name| name == "u8")
}

/// The last word of a path.
pub fn last_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Paren(inner) => last_name(&inner.elem),
        Type::Group(inner) => last_name(&inner.elem),
        _ => None,
    }
}

/// What an expression is, for an attribute that wants a literal.
pub fn text_of(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: syn::Lit::Str(text), .. }) => Ok(text.value()),
        other => Err(Error::new_spanned(other, format!("`{}` is no text in quotes", other.to_token_stream()))),
    }
}
