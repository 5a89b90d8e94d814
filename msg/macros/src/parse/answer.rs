//! What a method gives.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{Error, GenericArgument, Ident, Lifetime, PathArguments, Result, ReturnType, Signature, Type, TypeReference};

use super::argument::{Kind, item_of, of_value, types_of};

/// One part of a method's value: all of it, or an element of the tuple that it is.
pub struct Element {
    pub ty: Type,
    pub kind: Kind,
}

/// Why an answer borrows nothing.
const ANSWER: &str = "an answer outlives the message it came in";

/// What a method gives.
pub struct Given {
    /// The type of the value; of a stream, of each item.
    pub value: Type,
    /// The type of the method's own error.
    pub error: Option<Type>,
    pub is_stream: bool,
}

impl Given {
    pub fn parse(sig: &Signature, oneway: Option<&Ident>) -> Result<Self> {
        if let ReturnType::Type(_, ty) = &sig.output
            && let Type::Path(path) = &**ty
            && let Some(last) = path.path.segments.last()
        {
            if last.ident == "Stream" {
                return stream(ty, &types_of(last), oneway);
            }
            if let Some(Type::Path(inner)) = types_of(last).first()
                && inner.path.segments.last().is_some_and(|inner| inner.ident == "Stream")
            {
                let what = "a stream fails by itself, where its items end: write `-> Stream<T, E>`, without `Answer`";
                return Err(Error::new_spanned(ty, what));
            }
        }
        parse(sig, oneway).map(|(value, error)| Self { value, error, is_stream: false })
    }
}

fn stream(ty: &Type, types: &[Type], oneway: Option<&Ident>) -> Result<Given> {
    let (value, error) = match types {
        [value] => (value, None),
        [value, error] => (value, Some(error)),
        _ => return Err(Error::new_spanned(ty, "a stream of what? Write `Stream<T>`, or `Stream<T, E>`")),
    };
    if let Some(oneway) = oneway {
        return Err(Error::new_spanned(oneway, "nobody waits for the items of a oneway: remove this"));
    }
    item_of(value)?;
    if let Some(error) = error {
        item_of(error)?;
    }
    Ok(Given { value: value.clone(), error: error.cloned(), is_stream: true })
}

/// The types of the value and of the method's own error.
fn parse(sig: &Signature, oneway: Option<&Ident>) -> Result<(Type, Option<Type>)> {
    let ReturnType::Type(_, ty) = &sig.output else {
        let what = "a call can fail on its way, whatever the method does: write `-> Answer<()>`";
        return Err(Error::new_spanned(sig, what));
    };
    let mut types = types_of_answer(ty)?.into_iter();
    let (Some(value), error, None) = (types.next(), types.next(), types.next()) else {
        return Err(Error::new_spanned(ty, "an answer has a value and at most one error: write `Answer<T, E>`"));
    };
    if oneway.is_some() && !(is_unit(&value) && error.is_none()) {
        let what = "nobody answers a oneway: write `-> Answer<()>`, which says whether it was sent";
        return Err(Error::new_spanned(ty, what));
    }
    for ty in [Some(&value), error.as_ref()].into_iter().flatten() {
        check_owned(ty, ANSWER)?;
    }
    if let Some(error) = error.as_ref().filter(|error| matches!(of_value(error), Ok(Kind::Descriptor))) {
        return Err(Error::new_spanned(error, "an error carries no descriptor"));
    }
    if let Some(error) = error.as_ref().filter(|error| matches!(of_value(error), Ok(Kind::Link))) {
        return Err(Error::new_spanned(error, "an error carries no link"));
    }
    Ok((value, error))
}

/// What the value consists of: it travels as its elements do, one after the other.
pub fn elements(value: &Type) -> Result<Vec<Element>> {
    let types: Vec<&Type> = match value {
        Type::Tuple(tuple) => tuple.elems.iter().collect(),
        other => vec![other],
    };
    types.into_iter().map(|ty| Ok(Element { ty: ty.clone(), kind: of_value(ty)? })).collect()
}

fn types_of_answer(ty: &Type) -> Result<Vec<Type>> {
    let Type::Path(path) = ty else { return Err(no_answer(ty)) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Answer") else { return Err(no_answer(ty)) };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Err(Error::new_spanned(ty, "an answer of what? Write `Answer<()>`, if there is nothing to say"));
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Ok(ty.clone()),
        other => Err(Error::new_spanned(other, "an answer has types, and nothing else")),
    });
    types.collect()
}

fn no_answer(ty: &Type) -> Error {
    let text = |ty: &Type| ty.to_token_stream().to_string().replace(" < ", "<").replace(" >", ">");
    let instead = match ty {
        Type::Path(path) => path.path.segments.last().filter(|last| last.ident == "Result").and_then(|last| {
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            let types: Vec<_> = arguments.args.iter().map(|argument| argument.to_token_stream().to_string()).collect();
            Some(format!("write `-> Answer<{}>`", types.join(", ")))
        }),
        _ => None,
    };
    let instead = instead.unwrap_or_else(|| {
        let ty = text(ty);
        format!("write `-> Answer<{ty}>`, or `-> Answer<{ty}, E>` if it has an error of its own")
    });
    Error::new_spanned(ty, format!("a call can fail on its way, whatever the method does: {instead}"))
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// An answer outlives the message it came in.
pub fn check_owned(ty: &Type, why: &'static str) -> Result<()> {
    let mut borrowing = Borrowing(None, why);
    borrowing.visit_type(ty);
    borrowing.0.map_or(Ok(()), Err)
}

/// The first thing that borrows.
struct Borrowing(Option<Error>, &'static str);

impl<'ast> Visit<'ast> for Borrowing {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let instead = match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => "write `String`",
            Type::Slice(_) => "write `Vec`",
            _ => "give the value itself",
        };
        let view = if self.1 == ANSWER { "; `Call::view` shows strings and bytes without a copy" } else { "" };
        let what = format!("{}, so it borrows nothing: {instead}{view}", self.1);
        self.0.get_or_insert(Error::new_spanned(reference, what));
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            let what = format!("{}, so it borrows nothing: give a type without lifetimes", self.1);
            self.0.get_or_insert(Error::new_spanned(lifetime, what));
        }
    }
}
