//! Names for parameters of what is made: short ones, as people write them, unless the trait uses them for something else.

use std::collections::BTreeSet;

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ItemTrait;

use crate::parse::CARRIER;

/// What a parameter is called until it has its name.
const PREFIX: &str = "__";

/// The parameters in what is made of the trait: `__L`, `__S` and so on are `L` and `S`, if nothing else in the trait has
/// that name. The carrier of a trait that has one is that of the trait.
pub fn name(made: TokenStream, item: &ItemTrait) -> TokenStream {
    let mut taken = BTreeSet::new();
    collect(item.to_token_stream(), &mut taken);
    if !item.generics.params.is_empty() {
        taken.remove(CARRIER);
    }
    rename(made, &taken)
}

fn collect(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => drop(into.insert(ident.to_string())),
            TokenTree::Group(group) => collect(group.stream(), into),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn rename(tokens: TokenStream, taken: &BTreeSet<String>) -> TokenStream {
    tokens.into_iter().map(|token| rename_one(token, taken)).collect()
}

fn rename_one(token: TokenTree, taken: &BTreeSet<String>) -> TokenTree {
    match token {
        TokenTree::Group(group) => {
            let mut renamed = Group::new(group.delimiter(), rename(group.stream(), taken));
            renamed.set_span(group.span());
            renamed.into()
        }
        TokenTree::Ident(ident) => {
            short(&ident).filter(|short| !taken.contains(&short.to_string())).unwrap_or(ident).into()
        }
        token => token,
    }
}

/// The name of a parameter: one letter.
fn short(ident: &Ident) -> Option<Ident> {
    let text = ident.to_string();
    let letter = text.strip_prefix(PREFIX).filter(|letter| letter.len() == 1)?;
    Some(Ident::new(letter, ident.span()))
}
