//! The contract as data.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use super::Names;
use super::types::{forever, of_nothing, referent};
use crate::parse::{Contract, Kind, Method};

pub fn data(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, msg, data, .. } = names;
    let (vis, name, version) = (&contract.vis, &contract.name, contract.version);
    let words: Vec<_> = contract.methods.iter().map(|method| unraw(&method.ident)).collect();
    let methods = contract.methods.iter().zip(0u16..).map(|(method, number)| one(method, number, name, names));
    let doc = format!("The contract of [`{}`] as data.", contract.ident);
    quote! {
        #[doc = #doc]
        #vis const #data: #path::Contract = {
            const METHODS: &[#path::Method] = &[#(#methods),*];
            #path::Contract::new(#msg::Interface::new(#name, &[#(#words),*]), #version, METHODS)
        };
    }
}

fn one(method: &Method, number: u16, interface: &str, names: &Names) -> TokenStream {
    let Names { contract: path, msg, .. } = names;
    let (name, signature) = (unraw(&method.ident), &method.signature);
    let options = options(method, names);
    let sketch = sketch(method);
    quote! {{
        #[allow(unused_mut)]
        let mut method = #path::Method::new(
            #number,
            #msg::MethodName { interface: #interface, method: #name },
            #signature,
            |sketch: &mut #path::Sketch| { #sketch },
        );
        #options
        method
    }}
}

fn options(method: &Method, names: &Names) -> TokenStream {
    let msg = &names.msg;
    let options = &method.options;
    let flags = [
        (options.oneway.is_some(), quote!(oneway)),
        (options.idempotent.is_some(), quote!(idempotent)),
        (options.optional, quote!(optional)),
        (method.takes_descriptors(), quote!(takes_descriptors)),
        (method.gives_descriptors(), quote!(gives_descriptors)),
        (method.arguments.iter().any(crate::parse::Argument::is_buffer), quote!(lends)),
        (method.options.gives_buffers || method.names_buffers(), quote!(gives_buffers)),
        (method.error.is_some(), quote!(fallible)),
    ];
    let flags = flags.into_iter().filter_map(|(is_set, name)| is_set.then(|| quote!(method.#name = true;)));
    let streams = method.has_streams().then(|| {
        let feed = method.fed().map(|_| quote!(.union(#msg::Streams::FEED)));
        let items = method.is_stream.then(|| quote!(.union(#msg::Streams::ITEMS)));
        quote!(method.streams = #msg::Streams::empty()#feed #items;)
    });
    let deadline = options.deadline.map(|deadline| {
        let micros = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
        quote!(method.deadline = ::core::option::Option::Some(::core::time::Duration::from_micros(#micros));)
    });
    let request_max = options.request_max.map(|most| quote!(method.request_max = #most;));
    let reply_max = options.reply_max.map(|most| quote!(method.reply_max = #most;));
    let classes = options.classes.as_ref().map(|classes| {
        let union = quote!(#msg::DescriptorClasses::empty()#(.union(#msg::DescriptorClasses::#classes))*);
        quote!(method.classes = #union;)
    });
    quote!(#(#flags)* #streams #deadline #request_max #reply_max #classes)
}

/// Draws what both sides must agree on. It is here, too, that a type which does not travel is told of, at its own place.
fn sketch(method: &Method) -> TokenStream {
    let arguments = method.arguments.iter().map(|argument| match &argument.item {
        Some(item) => {
            let item = draw(&item.ty, item.kind);
            quote!(sketch.word("stream"); #item)
        }
        None => draw(&argument.ty, argument.kind),
    });
    let stream = method.is_stream.then(|| quote!(sketch.word("stream");));
    let value = method.elements.iter().map(|element| draw(&element.ty, element.kind));
    let error = method.error.iter().map(|error| draw(error, Kind::Value));
    quote!(#(#arguments)* sketch.word("->"); #stream #(#value)* sketch.word("or"); #(#error)*)
}

fn draw(ty: &Type, kind: Kind) -> TokenStream {
    if kind == Kind::Descriptor {
        return quote!(sketch.word("descriptor"););
    }
    if kind.is_link() {
        let client = of_nothing(referent(ty));
        return quote_spanned!(ty.span()=> sketch.link(<#client>::CONTRACT););
    }
    let still = forever(ty);
    match (kind, &still) {
        (Kind::Reference, Type::Reference(reference)) => {
            let inner = &reference.elem;
            quote_spanned!(ty.span()=> sketch.value::<#inner>();)
        }
        (Kind::Slice, Type::Reference(reference)) => {
            let Type::Slice(slice) = &*reference.elem else { return TokenStream::new() };
            let element = &slice.elem;
            quote_spanned!(ty.span()=> sketch.value::<::std::vec::Vec<#element>>();)
        }
        _ => quote_spanned!(ty.span()=> sketch.value::<#still>();),
    }
}

/// A name without `r#`.
pub fn unraw(ident: &syn::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}
