//! Types as they are written where they arrive.

use proc_macro2::Span;
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{Lifetime, PathArguments, Type, TypeReference};

use crate::parse::{Kind, Method};

/// The same type, all of whose lifetimes are `'static`.
pub fn forever(ty: &Type) -> Type {
    relived(ty, "'static")
}

/// The same type, all of whose lifetimes are left to be found.
pub fn for_now(ty: &Type) -> Type {
    relived(ty, "'_")
}

fn relived(ty: &Type, name: &'static str) -> Type {
    let mut ty = ty.clone();
    Relive(name).visit_type_mut(&mut ty);
    ty
}

struct Relive(&'static str);

impl VisitMut for Relive {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = Lifetime::new(self.0, Span::call_site());
        }
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime.get_or_insert_with(|| Lifetime::new(self.0, Span::call_site()));
        visit_type_mut(self, &mut reference.elem);
        if let Some(lifetime) = &mut reference.lifetime {
            self.visit_lifetime_mut(lifetime);
        }
    }
}

/// What stands behind a reference.
pub fn referent(ty: &Type) -> &Type {
    match ty {
        Type::Reference(reference) => &reference.elem,
        other => other,
    }
}

/// A client over no carrier: it has a contract all the same.
pub fn of_nothing(client: &Type) -> Type {
    let mut client = client.clone();
    if let Type::Path(path) = &mut client
        && let Some(last) = path.path.segments.last_mut()
    {
        last.arguments = PathArguments::AngleBracketed(syn::parse_quote!(<()>));
    }
    client
}

/// The types of the descriptors that a method takes.
pub fn taken(method: &Method) -> Vec<&Type> {
    let descriptors = method.arguments.iter().filter(|argument| argument.kind == Kind::Descriptor);
    descriptors.map(|argument| &argument.ty).collect()
}

/// The types of the descriptors that a method gives.
pub fn given(method: &Method) -> Vec<&Type> {
    let descriptors = method.elements.iter().filter(|element| element.kind == Kind::Descriptor);
    descriptors.map(|element| &element.ty).collect()
}
