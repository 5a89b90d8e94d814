//! From a trait to a description of the contract.

mod answer;
mod argument;
mod method;
mod options;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Error, GenericParam, Ident, Item, ItemTrait, LitInt, LitStr, Result, TraitItem, Visibility};

pub use answer::Element;
pub use argument::CARRIER;
pub use argument::{Argument, Kind};
pub use method::Method;
pub use options::Options;

/// Most methods of an interface: what a set of them holds.
const METHODS_MAX: usize = 64;

/// Longest name of an interface, in bytes.
const NAME_MAX: usize = 32;

/// What every client has of its own, beside the methods of its contract.
const CLIENTS_OWN: [&str; 6] = ["start", "within", "serves", "link", "giving", "shared"];

/// A contract, as its trait says.
pub struct Contract {
    /// The path of the crate `cloison-msg`, as it is known where the trait stands.
    pub msg: TokenStream,
    pub docs: Vec<Attribute>,
    pub vis: Visibility,
    pub ident: Ident,
    pub name: String,
    pub version: u16,
    pub methods: Vec<Method>,
    /// Whether the trait is one of the carrier of its links.
    pub has_carrier: bool,
    /// The trait, without our attributes.
    pub item: ItemTrait,
}

pub fn contract(arguments: TokenStream, item: TokenStream, msg: TokenStream) -> Result<Contract> {
    let mut item = the_trait(item)?;
    check_trait(&item)?;
    let mut options = TraitOptions { msg, name: None, version: 0 };
    syn::parse::Parser::parse2(syn::meta::parser(|meta| options.take(&meta)), arguments)?;
    let methods = methods(&mut item)?;
    let has_carrier = check_carrier(&item, &methods)?;
    let name = options.name.unwrap_or_else(|| kebab(&item.ident.to_string()));
    if let Some(wrong) = wrong_name(&name) {
        let what = format!("{wrong}; say another by #[interface(name = \"…\")]");
        return Err(Error::new_spanned(&item.ident, what));
    }
    Ok(Contract {
        msg: options.msg,
        docs: item.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect(),
        vis: item.vis.clone(),
        ident: item.ident.clone(),
        name,
        version: options.version,
        methods,
        has_carrier,
        item,
    })
}

/// A trait as it is without this crate.
pub fn without_our_attributes(item: TokenStream) -> TokenStream {
    let Ok(mut of_trait) = syn::parse2::<ItemTrait>(item.clone()) else { return item };
    for item in &mut of_trait.items {
        if let TraitItem::Fn(method) = item {
            method.attrs.retain(|attribute| !Options::is_ours(attribute));
        }
    }
    of_trait.into_token_stream()
}

fn the_trait(item: TokenStream) -> Result<ItemTrait> {
    match syn::parse2(item.clone())? {
        Item::Trait(item) => Ok(item),
        _ => Err(Error::new_spanned(item, "`#[interface]` stands on a trait, whose methods are then called")),
    }
}

fn check_trait(item: &ItemTrait) -> Result<()> {
    let mut params = item.generics.params.iter();
    let is_carrier = |param: &GenericParam| matches!(param, GenericParam::Type(ty) if ty.ident == CARRIER && ty.bounds.is_empty() && ty.default.is_none());
    if params.next().is_some_and(|first| !is_carrier(first)) || params.next().is_some() {
        let what = "a contract has no parameters, since both sides must know it by its name alone; but one that takes or \
                    gives links may have `<L>`, for what those are where it is used";
        return Err(Error::new_spanned(&item.generics, what));
    }
    if !item.supertraits.is_empty() {
        let what = "a contract asks nothing of its implementation but its methods: write the bound where it is needed";
        return Err(Error::new_spanned(&item.supertraits, what));
    }
    if let Some(auto) = item.auto_token {
        return Err(Error::new_spanned(auto, "a contract is an ordinary trait"));
    }
    match item.unsafety {
        Some(unsafety) => Err(Error::new_spanned(unsafety, "a contract is an ordinary trait: remove `unsafe`")),
        None => Ok(()),
    }
}

/// Whether the trait has a parameter; it has if, and only if, a method takes or gives a link.
fn check_carrier(item: &ItemTrait, methods: &[Method]) -> Result<bool> {
    let has_carrier = !item.generics.params.is_empty();
    match methods.iter().find_map(Method::first_link) {
        None if has_carrier => Err(Error::new_spanned(&item.generics, "no method takes or gives a link: remove this")),
        Some(link) if !has_carrier => {
            let what = format!("its links need a name for what they are: write `trait {}<{CARRIER}>`", item.ident);
            Err(Error::new_spanned(link, what))
        }
        _ => Ok(has_carrier),
    }
}

/// The methods, in order; our attributes are taken off. All that is wrong with any of them is told.
fn methods(item: &mut ItemTrait) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    let mut wrong: Option<Error> = None;
    for item in &mut item.items {
        match one_method(item, methods.len()) {
            Ok(method) => methods.push(method),
            Err(error) => match &mut wrong {
                None => wrong = Some(error),
                Some(wrong) => wrong.combine(error),
            },
        }
    }
    match wrong {
        Some(wrong) => Err(wrong),
        None => check_order(&methods).map(|()| methods),
    }
}

fn one_method(item: &mut TraitItem, number: usize) -> Result<Method> {
    let TraitItem::Fn(item) = item else {
        let what = "a contract has methods and nothing else: put this into a trait of its own";
        return Err(Error::new_spanned(item, what));
    };
    if number >= METHODS_MAX {
        let what = format!("a contract has at most {METHODS_MAX} methods: put this one into another");
        return Err(Error::new_spanned(&item.sig.ident, what));
    }
    if CLIENTS_OWN.iter().any(|own| item.sig.ident == own) {
        let what = format!("every client has a method `{}` of its own: call this one something else", item.sig.ident);
        return Err(Error::new_spanned(&item.sig.ident, what));
    }
    Method::parse(item)
}

fn check_order(methods: &[Method]) -> Result<()> {
    let optional = methods.iter().skip_while(|method| !method.options.optional);
    match optional.clone().find(|method| !method.options.optional) {
        None => Ok(()),
        Some(method) => {
            let what = "a method behind an optional one is optional too, since older servers lack both: \
                        write #[optional], or move it up if no server was ever without it";
            Err(Error::new_spanned(&method.ident, what))
        }
    }
}

/// What the attribute itself says.
struct TraitOptions {
    msg: TokenStream,
    name: Option<String>,
    version: u16,
}

impl TraitOptions {
    fn take(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            let name: LitStr = meta.value()?.parse()?;
            if let Some(wrong) = wrong_name(&name.value()) {
                return Err(Error::new_spanned(name, wrong));
            }
            self.name = Some(name.value());
        } else if meta.path.is_ident("version") {
            self.version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
        } else if meta.path.is_ident("msg") {
            self.msg = meta.value()?.parse::<syn::Path>()?.into_token_stream();
        } else {
            let what = "an interface has a name and a version: `#[interface(name = \"video-decoder\", version = 1)]`";
            return Err(meta.error(what));
        }
        Ok(())
    }
}

fn wrong_name(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Some(format!("the name {name:?} has {} bytes; 1 to {NAME_MAX} are allowed", name.len()));
    }
    let wrong = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.'))?;
    Some(format!("{wrong:?} cannot stand in an interface's name; use a-z, 0-9, '-', '_' and '.'"))
}

/// `VideoDecoder` as `video-decoder`.
fn kebab(ident: &str) -> String {
    words(ident).join("-")
}

/// `VideoDecoder` as `video` and `decoder`.
pub fn words(ident: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut after_small = false;
    for c in ident.trim_start_matches("r#").chars() {
        if c == '_' || words.is_empty() || (c.is_uppercase() && after_small) {
            words.push(String::new());
        }
        after_small = !c.is_uppercase();
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
