//! What a method gives.

use quote::ToTokens;
use syn::visit::Visit;
use syn::{Error, GenericArgument, Ident, Lifetime, PathArguments, Result, ReturnType, Signature, Type, TypeReference};

use super::argument::{Kind, of_value};

/// One part of a method's value: all of it, or an element of the tuple that it is.
pub struct Element {
    pub ty: Type,
    pub kind: Kind,
}

/// The types of the value and of the method's own error.
pub fn parse(sig: &Signature, oneway: Option<&Ident>) -> Result<(Type, Option<Type>)> {
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
        check_owned(ty)?;
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
fn check_owned(ty: &Type) -> Result<()> {
    let mut borrowing = Borrowing(None);
    borrowing.visit_type(ty);
    borrowing.0.map_or(Ok(()), Err)
}

/// The first thing that borrows.
struct Borrowing(Option<Error>);

impl<'ast> Visit<'ast> for Borrowing {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let instead = match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => "write `String`; `Call::view` shows it without a copy",
            Type::Slice(_) => "write `Vec`; `Call::view` shows bytes without a copy",
            _ => "give the value itself",
        };
        let what = format!("an answer outlives the message it came in, so it borrows nothing: {instead}");
        self.0.get_or_insert(Error::new_spanned(reference, what));
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            let what =
                "an answer outlives the message it came in, so it borrows nothing: give a type without lifetimes";
            self.0.get_or_insert(Error::new_spanned(lifetime, what));
        }
    }
}
