//! The client, and the view of it whose calls are begun.

use proc_macro2::TokenStream;
use quote::quote;

use super::types::{given, taken};
use super::{Names, descriptor_types};
use crate::parse::{Argument, Contract, Element, Kind, Method};

pub fn client(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, data, client, calls, of, .. } = names;
    let (vis, ident, docs) = (&contract.vis, &contract.ident, &contract.docs);
    let doc = format!("Calls the methods of [`{ident}`] over a carrier: a worker's link, or a host's.");
    let bounds = bounds(contract);
    let own = own_methods(names);
    let offer = offer(contract, names);
    let methods = contract.methods.iter().enumerate().map(|(number, method)| {
        let (sig, attrs) = (&method.sig, lint_attributes(method));
        let body = call(method, number, names, false);
        quote!(#attrs #[inline] #sig { #body })
    });
    quote! {
        #(#docs)*
        #[doc = ""]
        #[doc = #doc]
        #[derive(Clone, Debug)]
        #vis struct #client<__L>(#path::Stub<__L>);

        #[allow(dead_code)]
        impl<__L> #client<__L> {
            /// What it calls.
            #vis const CONTRACT: &'static #path::Contract = &#data;
        }

        #[allow(dead_code)]
        impl<__L: #path::Carrier> #client<__L> {
            #own
            #offer
            /// The same methods, begun and not waited for.
            #vis fn start(&self) -> #calls<__L> {
                #calls(::core::clone::Clone::clone(&self.0))
            }
        }

        impl<__L: #path::Carrier> #path::Client for #client<__L> {
            type Carrier = __L;
            const CONTRACT: &'static #path::Contract = &#data;
            fn over(stub: #path::Stub<__L>) -> Self {
                Self(stub)
            }
            fn stub(&self) -> &#path::Stub<__L> {
                &self.0
            }
        }

        impl<__L: #path::Carrier> #of for #client<__L> where #bounds {
            #(#methods)*
        }
    }
}

/// What every client has, whatever its contract.
fn own_methods(names: &Names) -> TokenStream {
    let Names { contract: path, msg, data, .. } = names;
    quote! {
        /// Opens a link to whoever plays `role`, makes sure that both sides mean the same contract, and calls through it.
        ///
        /// # Errors
        /// There is no link, or the other side means something else. No link is left then.
        pub fn bind<__B: #path::Bind<Carrier = __L>>(
            through: &__B,
            role: &str,
        ) -> ::core::result::Result<Self, #path::bind::BindError<__B::Error>> {
            #path::Bind::bind_stub(through, role, &#data).map(Self)
        }

        /// The same as [`bind`](Self::bind), to be awaited on any executor.
        ///
        /// # Errors
        /// There is no link, or the other side means something else. No link is left then.
        pub async fn bind_async<__B: #path::BindAsync<Carrier = __L>>(
            through: &__B,
            role: &str,
        ) -> ::core::result::Result<Self, #path::bind::BindError<__B::Error>> {
            #path::BindAsync::bind_stub_async(through, role, &#data).await.map(Self)
        }

        /// The same client, with another deadline for calls of methods that state none.
        #[must_use]
        pub fn within(self, within: ::core::time::Duration) -> Self {
            Self(self.0.within(within))
        }

        /// The same client, of whose link whoever is given it gets no more than these rights, and never more than there
        /// are here. Without this it gets what the contract needs; a copy it may hand on to nobody.
        #[must_use]
        pub fn giving(self, rights: #msg::Rights) -> Self {
            Self(self.0.giving(rights))
        }

        /// The same client, of whose link whoever is given it gets a copy.
        #[must_use]
        pub fn shared(self) -> Self {
            Self(self.0.shared())
        }

        /// Whether the other side has that method.
        ///
        /// # Panics
        /// If the contract has no method of that name.
        #[must_use]
        pub fn serves(&self, method: &str) -> bool {
            self.0.serves(&#data.methods()[usize::from(#data.method(method).0)])
        }

        /// What it calls through at this moment.
        #[must_use]
        pub fn link(&self) -> __L {
            self.0.link()
        }
    }
}

/// How an object becomes a link.
fn offer(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, methods, of, .. } = names;
    let doc = format!(
        "A link to an object of this side's own, an implementation of [`{}`]: to be given to somebody, as an \
                       argument or an answer. The object ends when no link leads to it any more.",
        contract.ident
    );
    quote! {
        #[doc = #doc]
        ///
        /// # Errors
        /// There is no room for more links, or nobody who could make one.
        pub fn offer<__O, __S>(through: &__O, object: __S) -> ::core::result::Result<Self, #path::made::CallError>
        where
            __O: #path::Offers<#methods<__S>, Carrier = __L>,
            __S: #of + 'static,
            #methods<__S>: #path::Dispatch<__L> + #path::Serve<Implementation = __S>,
        {
            #path::Offers::offer_one(through, #path::Server::<#methods<__S>>::new(object)).map(Self)
        }
    }
}

pub fn calls(contract: &Contract, names: &Names) -> TokenStream {
    let Names { contract: path, calls, .. } = names;
    let (vis, ident) = (&contract.vis, &contract.ident);
    let doc = format!("Begins calls of the methods of [`{ident}`]: await them, wait for them, or collect them.");
    let bounds = bounds(contract);
    let methods = contract.methods.iter().enumerate().map(|(number, method)| {
        let Method { ident, attrs, generics, arguments, value, .. } = method;
        // What it is fed comes later.
        let now = arguments.iter().filter(|argument| argument.kind != Kind::Stream);
        let inputs = now.map(|Argument { ident, ty, .. }| quote!(#ident: #ty));
        let error = error(method, names);
        let body = call(method, number, names, true);
        let fed = method.fed().and_then(|argument| argument.item.as_ref()).map(|item| &item.ty);
        let begun = match (fed, method.is_stream) {
            (None, true) => quote!(#path::Items<__L, #value, #error>),
            (None, false) => quote!(#path::Call<__L::Pending, #value, #error>),
            (Some(item), true) => quote!((#path::Feeder<__L, #item>, #path::Items<__L, #value, #error>)),
            (Some(item), false) => quote!((#path::Feeder<__L, #item>, #path::FedCall<__L, #value, #error>)),
        };
        quote! {
            #(#attrs)*
            #[allow(dead_code, clippy::too_many_arguments)]
            #vis fn #ident #generics(&self, #(#inputs),*) -> #begun {
                #body
            }
        }
    });
    quote! {
        #[doc = #doc]
        #[derive(Clone, Debug)]
        #vis struct #calls<__L>(#path::Stub<__L>);

        impl<__L: #path::Carrier> #calls<__L> where #bounds {
            #(#methods)*
        }
    }
}

/// That descriptors can be sent through the carrier, and taken from it.
fn bounds(contract: &Contract) -> TokenStream {
    let taken = descriptor_types(contract, taken);
    let given = descriptor_types(contract, given);
    quote!(#(__L::Sent: ::core::convert::From<#taken>,)* #(#given: ::core::convert::From<__L::Passed>,)*)
}

fn call(method: &Method, number: usize, names: &Names, start: bool) -> TokenStream {
    let data = names.method(number);
    let build = build(method, names);
    if method.options.oneway.is_some() {
        let how = if start { quote!(start_oneway) } else { quote!(oneway) };
        return quote!(self.0.#how(#data, #build));
    }
    if method.has_streams() {
        return streaming(method, number, names, &build, start);
    }
    let how = match (start, method.options.idempotent.is_some()) {
        (true, true) => quote!(start_idempotent),
        (false, true) => quote!(call_idempotent),
        (true, false) => quote!(start),
        (false, false) => quote!(call),
    };
    let read = read(method, number, names);
    quote!(self.0.#how(#data, #build, #read))
}

/// A call that is fed, or gives items.
fn streaming(method: &Method, number: usize, names: &Names, build: &TokenStream, start: bool) -> TokenStream {
    let path = &names.contract;
    let data = names.method(number);
    let feed =
        method.fed().and_then(|argument| Some((&argument.ident, argument.item.as_ref()?))).map(|(ident, item)| {
            let (ty, write) = (&item.ty, write_item(item));
            if start { write } else { quote!(#path::made::feed::<__L, #ty>(#ident, #write)) }
        });
    if !method.is_stream {
        let read = read(method, number, names);
        let how = if start { quote!(start_fed) } else { quote!(feed) };
        return quote!(self.0.#how(#data, #build, #feed, #read));
    }
    let read = method.elements.first().map(read_item);
    let error = error(method, names);
    let failed = failed(method, names, &error);
    let end = quote!(|__reply| {
        #failed
        ::core::result::Result::Ok(::core::result::Result::Ok(()))
    });
    match feed {
        None if start => quote!(self.0.items(#data, #build, #read, #end)),
        Some(write) if start => quote!(self.0.items_fed(#data, #build, #write, #read, #end)),
        None => quote!(self.0.stream(#data, #build, ::core::option::Option::None, #read, #end)),
        Some(feed) => quote!(self.0.stream(#data, #build, ::core::option::Option::Some(#feed), #read, #end)),
    }
}

/// How an item of a stream is written.
pub fn write_item(item: &Element) -> TokenStream {
    match item.kind {
        Kind::ByteVec => quote!(|__message, __item| __message.append_bytes(__item).map(|_| ())),
        _ => quote!(|__message, __item| __message.append(__item).map(|_| ())),
    }
}

/// How an item of a stream is read.
pub fn read_item(item: &Element) -> TokenStream {
    let ty = &item.ty;
    match item.kind {
        Kind::ByteVec => quote!(|__reader| ::core::result::Result::Ok(__reader.recv::<&[u8]>()?.to_vec())),
        _ => quote!(|__reader| __reader.recv::<#ty>()),
    }
}

/// Reads the method's own error, if that is what was answered.
fn failed(method: &Method, names: &Names, error: &TokenStream) -> Option<TokenStream> {
    let path = &names.contract;
    method.error.as_ref().map(|_| {
        quote! {
            if #path::made::failed(__reply)? {
                return ::core::result::Result::Ok(::core::result::Result::Err(__reply.recv::<#error>()?));
            }
        }
    })
}

/// Writes the arguments.
fn build(method: &Method, names: &Names) -> TokenStream {
    let path = &names.contract;
    let steps = method.arguments.iter().map(|Argument { ident, kind, .. }| match kind {
        Kind::Value => quote!(__message.append(&#ident)?;),
        Kind::Reference | Kind::Str | Kind::Slice => quote!(__message.append(#ident)?;),
        Kind::Bytes => quote!(__message.append_bytes(#ident)?;),
        Kind::ByteVec => quote!(__message.append_bytes(&#ident)?;),
        Kind::Descriptor => quote!(__message.attach(::core::convert::From::from(#ident))?;),
        Kind::Link => quote!(#path::made::give(&#ident, false, __message)?;),
        Kind::LinkCopy => quote!(#path::made::give(#ident, true, __message)?;),
        // It follows.
        Kind::Stream => TokenStream::new(),
    });
    quote!(|__message| {
        #(#steps)*
        ::core::result::Result::Ok(())
    })
}

/// Reads the reply.
fn read(method: &Method, number: usize, names: &Names) -> TokenStream {
    let path = &names.contract;
    let data = names.method(number);
    let error = error(method, names);
    let failed = failed(method, names, &error);
    let elements = method.elements.iter().map(|Element { ty, kind }| match kind {
        Kind::ByteVec => quote!(__reply.recv::<&[u8]>()?.to_vec()),
        Kind::Descriptor => quote!(<#ty as ::core::convert::From<_>>::from(#path::made::descriptor(#data, __reply)?)),
        Kind::Link => quote!(#path::made::take::<#ty, _>(__reply)?),
        _ => quote!(__reply.recv::<#ty>()?),
    });
    let value =
        if matches!(method.value, syn::Type::Tuple(_)) { quote!((#(#elements,)*)) } else { quote!(#(#elements)*) };
    quote!(|__reply| {
        #failed
        ::core::result::Result::Ok(::core::result::Result::Ok(#value))
    })
}

fn error(method: &Method, names: &Names) -> TokenStream {
    let path = &names.contract;
    match &method.error {
        Some(error) => quote!(#error),
        None => quote!(#path::Never),
    }
}

/// Of a trait's attributes, an implementation takes those that are for the compiler.
pub fn lint_attributes(method: &Method) -> TokenStream {
    let is_lint = |attribute: &&syn::Attribute| ["allow", "expect"].iter().any(|name| attribute.path().is_ident(name));
    let lints = method.attrs.iter().filter(is_lint);
    quote!(#(#lints)*)
}
