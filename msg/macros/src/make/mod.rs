//! From the description of a contract to code.

mod client;
mod data;
mod forward;
mod free;
mod server;
mod types;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

use crate::parse::{Contract, Method, words};

/// Everything that is made of the trait, and the trait.
pub fn all(contract: &Contract) -> TokenStream {
    let names = Names::of(contract);
    let item = &contract.item;
    let data = data::data(contract, &names);
    let forwards = forward::all(contract, &names);
    let client = client::client(contract, &names);
    let calls = client::calls(contract, &names);
    let server = server::server(contract, &names);
    let made = quote! {
        #data
        #forwards
        #client
        #calls
        #server
    };
    let made = free::name(made, item);
    quote!(#item #made)
}

/// What things are called.
pub struct Names {
    /// The path of the module `contract`.
    pub contract: TokenStream,
    /// The path of the crate `cloison-msg`.
    pub msg: TokenStream,
    pub data: Ident,
    pub client: Ident,
    pub calls: Ident,
    pub server: Ident,
    pub methods: Ident,
    /// The trait, as it is named in a bound.
    pub of: TokenStream,
    /// Parameters of whatever is for one trait only: the carrier, if the trait has one.
    pub carrier: TokenStream,
}

impl Names {
    fn of(contract: &Contract) -> Self {
        let (msg, ident) = (&contract.msg, &contract.ident);
        let data = words(&ident.to_string()).join("_").to_uppercase();
        Self {
            contract: quote!(#msg::contract),
            msg: msg.clone(),
            data: Ident::new(&data, ident.span()),
            client: format_ident!("{}Client", ident),
            calls: format_ident!("{}Calls", ident),
            server: format_ident!("{}Server", ident),
            methods: format_ident!("{}Methods", ident),
            of: if contract.has_carrier { quote!(#ident<__L>) } else { quote!(#ident) },
            carrier: if contract.has_carrier { quote!(__L,) } else { TokenStream::new() },
        }
    }

    /// What the contract says about a method.
    pub fn method(&self, number: usize) -> TokenStream {
        let data = &self.data;
        quote!(&#data.methods()[#number])
    }
}

/// The types of all descriptors that the methods take, or give, each once.
pub fn descriptor_types<'a>(
    contract: &'a Contract,
    of: impl Fn(&'a Method) -> Vec<&'a syn::Type>,
) -> Vec<&'a syn::Type> {
    let mut types: Vec<&syn::Type> = Vec::new();
    for ty in contract.methods.iter().flat_map(of) {
        // A type has no equality but that of its text.
        let text = |ty: &syn::Type| ty.to_token_stream().to_string();
        if types.iter().all(|known| text(known) != text(ty)) {
            types.push(ty);
        }
    }
    types
}
