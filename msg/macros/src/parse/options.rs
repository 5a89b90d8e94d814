//! What a method's attributes say.

use std::time::Duration;

use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, Ident, LitInt, Result, Token};

use super::argument::text_of;

/// The longest deadline that a call can carry.
const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// The longest payload.
const PAYLOAD_MAX: u32 = 64 * 1024 - 48;

/// Classes of descriptors that a right can name.
const CLASSES: [&str; 5] = ["SEALED_BUFFER", "READ_ONLY_FILE", "READ_WRITE_FILE", "PIPE", "SOCKET"];

/// Attributes that are for us.
const OURS: [&str; 8] = ["oneway", "optional", "deadline", "limit", "descriptors", "stream", "idempotent", "buffers"];

/// What a method's attributes say.
#[derive(Default)]
pub struct Options {
    pub oneway: Option<Ident>,
    pub optional: bool,
    pub idempotent: Option<Ident>,
    pub deadline: Option<Duration>,
    pub request_max: Option<u32>,
    pub reply_max: Option<u32>,
    pub classes: Option<Vec<Ident>>,
    pub gives_buffers: bool,
}

impl Options {
    /// Takes our attributes out of a method's.
    pub fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let mut options = Self::default();
        let mut wrong: Option<Error> = None;
        attributes.retain(|attribute| match options.read(attribute) {
            Ok(ours) => !ours,
            Err(error) => {
                wrong.get_or_insert(error);
                false
            }
        });
        match wrong {
            Some(wrong) => Err(wrong),
            None => options.check(),
        }
    }

    /// Whether the attribute is for us.
    pub fn is_ours(attribute: &Attribute) -> bool {
        OURS.iter().any(|name| attribute.path().is_ident(name))
    }

    /// Reads the attribute if it is for us; whether it is.
    fn read(&mut self, attribute: &Attribute) -> Result<bool> {
        let Some(name) = attribute.path().get_ident() else { return Ok(false) };
        match name.to_string().as_str() {
            "oneway" => {
                attribute.meta.require_path_only()?;
                self.oneway = Some(name.clone());
            }
            "optional" => {
                attribute.meta.require_path_only()?;
                self.optional = true;
            }
            "deadline" => self.deadline = Some(deadline(&attribute.parse_args()?)?),
            "limit" => self.read_limit(attribute)?,
            "descriptors" => self.classes = Some(classes(attribute)?),
            "buffers" => {
                attribute.meta.require_path_only()?;
                self.gives_buffers = true;
            }
            "stream" => {
                let what = "a stream is a type: write `-> Stream<T>` for what the method gives, or `-> Stream<T, E>`, or \
                            an argument of type `Stream<T>` for what it takes, and remove this";
                return Err(Error::new_spanned(attribute, what));
            }
            "idempotent" => {
                attribute.meta.require_path_only()?;
                self.idempotent = Some(name.clone());
            }
            _ => {}
        }
        Ok(Self::is_ours(attribute))
    }

    fn read_limit(&mut self, attribute: &Attribute) -> Result<()> {
        let usage = "a limit is of bytes: `#[limit(request = 4096, reply = 64)]`, or one of the two";
        if let Ok(of_what) = attribute.parse_args::<LitInt>() {
            return Err(Error::new_spanned(of_what, usage));
        }
        attribute.parse_nested_meta(|meta| {
            let place = if meta.path.is_ident("request") {
                &mut self.request_max
            } else if meta.path.is_ident("reply") {
                &mut self.reply_max
            } else {
                return Err(
                    meta.error("a limit is of bytes: `#[limit(request = 4096, reply = 64)]`, or one of the two")
                );
            };
            let value: LitInt = meta.value()?.parse()?;
            let bytes: u32 = value.base10_parse()?;
            if bytes > PAYLOAD_MAX {
                let what =
                    format!("no message carries more than {PAYLOAD_MAX} bytes; what is larger travels in a buffer");
                return Err(Error::new_spanned(value, what));
            }
            *place = Some(bytes);
            Ok(())
        })
    }

    fn check(self) -> Result<Self> {
        match (&self.oneway, &self.idempotent) {
            (Some(_), Some(idempotent)) => {
                let what =
                    "nobody answers a oneway, so nobody knows whether to send it again: remove this, or `#[oneway]`";
                Err(Error::new_spanned(idempotent, what))
            }
            (Some(oneway), None) if self.reply_max.is_some() => {
                Err(Error::new_spanned(oneway, "nobody answers a oneway: remove the limit of its reply"))
            }
            _ => Ok(self),
        }
    }
}

fn deadline(value: &Expr) -> Result<Duration> {
    let usage = "a deadline is a number and a unit: `#[deadline(\"250ms\")]`, of `us`, `ms` and `s`";
    let text = text_of(value).map_err(|_| Error::new_spanned(value, usage))?;
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| Error::new_spanned(value, usage))?;
    let deadline = match unit.trim() {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(Error::new_spanned(value, usage)),
    };
    if deadline.is_zero() || deadline > DEADLINE_MAX {
        return Err(Error::new_spanned(value, "a call takes more than no time, and an hour at most"));
    }
    Ok(deadline)
}

fn classes(attribute: &Attribute) -> Result<Vec<Ident>> {
    let classes: Vec<Ident> =
        attribute.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated)?.into_iter().collect();
    let usage = format!("the classes of descriptors are {}", CLASSES.join(", "));
    if classes.is_empty() {
        return Err(Error::new_spanned(attribute, usage));
    }
    match classes.iter().find(|class| !CLASSES.iter().any(|known| class == known)) {
        Some(unknown) => Err(Error::new_spanned(unknown, usage)),
        None => Ok(classes),
    }
}
