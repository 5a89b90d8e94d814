//! The server.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use super::client::{read_item, write_item};
use super::types::{for_now, given, referent, taken};
use super::{Names, descriptor_types};
use crate::parse::{Argument, Contract, Element, Kind, Method};

pub fn server(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, msg, data, server, methods, of, .. } = names;
    let (vis, ident) = (&contract.vis, &contract.ident);
    let doc = format!("Serves with an implementation of [`{ident}`]: `{server}::new(implementation)`.");
    let methods_doc = format!("The methods of an implementation of [`{ident}`], by number.");
    let (taken, given) = (descriptor_types(contract, taken), descriptor_types(contract, given));
    let arms = contract.methods.iter().enumerate().map(|(number, method)| {
        let rpc = u16::try_from(number).unwrap_or(u16::MAX);
        let body = arm(method, number, names);
        quote!(#rpc => { #body })
    });
    quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        #vis type #server<__S> = #path::Server<#methods<__S>>;

        #[doc = #methods_doc]
        #[derive(Clone, Debug)]
        #vis struct #methods<__S>(__S);

        impl<__S> #path::Serve for #methods<__S> {
            const CONTRACT: &'static #path::Contract = &#data;
            type Implementation = __S;
            fn new(implementation: __S) -> Self {
                Self(implementation)
            }
            fn implementation(&self) -> &__S {
                &self.0
            }
        }

        impl<__S: #of, __L: #path::Carrier> #path::Dispatch<__L> for #methods<__S>
        where
            #(#taken: ::core::convert::From<__L::Passed>,)*
            #(__L::Sent: ::core::convert::From<#given>,)*
        {
            #[allow(unused_variables)]
            fn dispatch(
                &self,
                __rpc: #msg::RpcIndex,
                __request: &mut #msg::Reader<'_, __L::Passed, __L>,
                __reply: &mut #msg::Message<__L::Sent>,
                __flows: &mut #path::Flows<__L>,
            ) -> ::core::result::Result<(), #msg::Failure> {
                match __rpc.0 {
                    #(#arms)*
                    _ => ::core::result::Result::Err(#msg::Failure::NoSuchMethod),
                }
            }
        }
    }
}

fn arm(method: &Method, number: usize, names: &Names) -> TokenStream {
    let path = &names.contract;
    let (data, of, ident) = (names.method(number), &names.of, &method.ident);
    let receive = method.arguments.iter().enumerate().map(|(at, argument)| receive(argument, at, names));
    let pass = method.arguments.iter().enumerate().map(|(at, argument)| pass(argument, at));
    if method.is_stream {
        let write = method.elements.first().map(write_item);
        return quote! {
            let __method = #data;
            #path::made::admit(__method, __request)?;
            #(#receive)*
            #path::made::finish(__request)?;
            let __stream = <__S as #of>::#ident(&self.0, #(#pass),*);
            #path::made::give_items(__flows, __method, __stream, #write);
            ::core::result::Result::Ok(())
        };
    }
    let (pattern, append) = reply(method, names);
    quote! {
        let __method = #data;
        #path::made::admit(__method, __request)?;
        #(#receive)*
        #path::made::finish(__request)?;
        match <__S as #of>::#ident(&self.0, #(#pass),*) {
            ::core::result::Result::Ok(#pattern) => {
                #path::made::succeed(__method, __reply)?;
                #append
                ::core::result::Result::Ok(())
            }
            ::core::result::Result::Err(__error) => #path::made::fail(__error, __reply),
        }
    }
}

/// Reads an argument.
fn receive(argument: &Argument, at: usize, names: &Names) -> TokenStream {
    let path = &names.contract;
    let name = format_ident!("__argument_{}", at);
    let ty = for_now(&argument.ty);
    let span = argument.ty.span();
    match argument.kind {
        Kind::Value | Kind::Str | Kind::Bytes => quote_spanned!(span=> let #name: #ty = __request.recv()?;),
        Kind::ByteVec => quote!(let #name: #ty = __request.recv::<&[u8]>()?.to_vec();),
        Kind::Reference => {
            let ty = referent(&ty);
            quote_spanned!(span=> let #name: #ty = __request.recv()?;)
        }
        Kind::Slice => {
            let Type::Slice(slice) = referent(&ty) else { return TokenStream::new() };
            let element = &slice.elem;
            quote_spanned!(span=> let #name: ::std::vec::Vec<#element> = __request.recv()?;)
        }
        Kind::Descriptor => quote! {
            let #name = <#ty as ::core::convert::From<__L::Passed>>::from(#path::made::descriptor(__method, __request)?);
        },
        Kind::Link => quote_spanned!(span=> let #name: #ty = #path::made::take(__request)?;),
        Kind::Stream => {
            let read = argument.item.as_ref().map(read_item);
            quote!(let #name = #path::made::take_fed(__flows, __method, #read)?;)
        }
        Kind::LinkCopy => {
            let ty = referent(&ty);
            quote_spanned!(span=> let #name: #ty = #path::made::take(__request)?;)
        }
    }
}

/// Gives an argument to the method.
fn pass(argument: &Argument, at: usize) -> TokenStream {
    let name = format_ident!("__argument_{}", at);
    match argument.kind {
        Kind::Reference | Kind::Slice | Kind::LinkCopy => quote!(&#name),
        _ => quote!(#name),
    }
}

/// How the value is taken apart, and written.
fn reply(method: &Method, names: &Names) -> (TokenStream, TokenStream) {
    let path = &names.contract;
    let values: Vec<_> = (0..method.elements.len()).map(|at| format_ident!("__value_{}", at)).collect();
    let steps = method.elements.iter().zip(&values).map(|(Element { kind, .. }, name)| match kind {
        Kind::ByteVec => quote!(__reply.append_bytes(&#name)?;),
        Kind::Descriptor => quote!(__reply.attach(<__L::Sent as ::core::convert::From<_>>::from(#name))?;),
        Kind::Link => quote!(#path::made::give(&#name, false, __reply)?;),
        _ => quote!(__reply.append(&#name)?;),
    });
    let append = quote!(#(#steps)*);
    if matches!(method.value, Type::Tuple(_)) {
        (quote!((#(#values,)*)), append)
    } else {
        (quote!(#(#values)*), append)
    }
}
