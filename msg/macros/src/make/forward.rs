//! The trait, for what holds an implementation.

use proc_macro2::TokenStream;
use quote::quote;

use super::Names;
use super::client::lint_attributes;
use crate::parse::{Argument, Contract};

pub fn all(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, of, carrier, .. } = names;
    let held = [quote!(&__T), quote!(::std::rc::Rc<__T>), quote!(::std::sync::Arc<__T>)].map(|holder| {
        let methods = methods(contract, &quote!(__T::), &quote!(&**self));
        quote! {
            impl<#carrier __T: #of + ?::core::marker::Sized> #of for #holder {
                #methods
            }
        }
    });
    let here = each(contract, |name, arguments| {
        quote! {
            match self {
                #path::Placed::Here(here) => here.#name(#(#arguments),*),
                #path::Placed::There(there) => there.#name(#(#arguments),*),
            }
        }
    });
    quote! {
        #(#held)*

        impl<#carrier __A: #of, __B: #of> #of for #path::Placed<__A, __B> {
            #here
        }
    }
}

fn methods(contract: &Contract, of: &TokenStream, on: &TokenStream) -> TokenStream {
    each(contract, |name, arguments| quote!(#of #name(#on, #(#arguments),*)))
}

fn each(contract: &Contract, body: impl Fn(&syn::Ident, &[&syn::Ident]) -> TokenStream) -> TokenStream {
    let methods = contract.methods.iter().map(|method| {
        let arguments: Vec<_> = method.arguments.iter().map(|Argument { ident, .. }| ident).collect();
        let (sig, attrs, body) = (&method.sig, lint_attributes(method), body(&method.ident, &arguments));
        quote!(#attrs #[inline] #sig { #body })
    });
    quote!(#(#methods)*)
}
