//! Drawing the shape of a type that travels, by watching how it is deserialized.

use serde::Deserialize;
use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::Contract;

/// Most steps that are drawn of one type; what comes behind them does not count.
const STEPS_MAX: u32 = 4096;

/// How deep types are looked into.
const DEPTH_MAX: u8 = 16;

/// Most variants of an enum that are looked into. Their names all count.
const VARIANTS_MAX: u32 = 64;

/// A hash under construction: of the shape of what a method takes and gives.
///
/// Types are drawn as they are deserialized: what kinds of values, in which order; of structs the names of the fields,
/// of enums those of the variants. The names of types do not count, since they do not travel. A type that refuses the
/// samples it is given (a number that must be even, say) is drawn up to there.
#[derive(Debug)]
pub struct Sketch {
    hash: u64,
    steps: u32,
    /// Which variant of each enum is looked into this time.
    variant: u32,
    /// How many variants the largest enum has.
    variants: u32,
}

impl Sketch {
    pub(super) const fn new() -> Self {
        // FNV-1a: no secret is kept by it, and no attack gained, for either side may claim whatever it likes.
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, variant: 0, variants: 0 }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// Draws a word.
    pub fn word(&mut self, word: &str) {
        self.number(word.len() as u64);
        self.bytes(word.as_bytes());
    }

    /// Draws a link over which that contract is served: by its name alone, for its shape is compared when a link comes.
    pub fn link(&mut self, contract: &Contract) {
        self.word("link");
        self.word(contract.name().as_str());
    }

    /// Draws a value of this type.
    pub fn value<T: Deserialize<'static>>(&mut self) {
        (self.steps, self.variant, self.variants) = (0, 0, 1);
        while self.variant < self.variants.min(VARIANTS_MAX) {
            if T::deserialize(Pen { sketch: self, depth: 0 }).is_err() {
                self.word("…");
            }
            self.variant += 1;
        }
    }

    pub(super) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Draws one value, and makes one up.
struct Pen<'a> {
    sketch: &'a mut Sketch,
    depth: u8,
}

/// It cannot be drawn further.
#[derive(Debug)]
struct Opaque;

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not drawn further")
    }
}

impl std::error::Error for Opaque {}

impl de::Error for Opaque {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

impl Pen<'_> {
    fn draw(&mut self, word: &str) -> Result<(), Opaque> {
        self.sketch.steps += 1;
        if self.sketch.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return Err(Opaque);
        }
        self.sketch.word(word);
        Ok(())
    }

    const fn inner(&mut self) -> Pen<'_> {
        Pen { sketch: self.sketch, depth: self.depth + 1 }
    }

    fn names(&mut self, kind: &str, names: &[&str]) -> Result<(), Opaque> {
        self.draw(kind)?;
        self.sketch.number(names.len() as u64);
        names.iter().try_for_each(|name| self.draw(name))
    }
}

macro_rules! draw_plain {
    ($($method:ident: $word:literal, $visit:ident($($sample:expr)?);)*) => {$(
        fn $method<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Opaque> {
            self.draw($word)?;
            visitor.$visit($($sample)?)
        }
    )*};
}

impl Deserializer<'static> for Pen<'_> {
    type Error = Opaque;

    draw_plain! {
        deserialize_bool: "bool", visit_bool(false);
        deserialize_i8: "i8", visit_i8(1);
        deserialize_i16: "i16", visit_i16(1);
        deserialize_i32: "i32", visit_i32(1);
        deserialize_i64: "i64", visit_i64(1);
        deserialize_i128: "i128", visit_i128(1);
        deserialize_u8: "u8", visit_u8(1);
        deserialize_u16: "u16", visit_u16(1);
        deserialize_u32: "u32", visit_u32(1);
        deserialize_u64: "u64", visit_u64(1);
        deserialize_u128: "u128", visit_u128(1);
        deserialize_f32: "f32", visit_f32(1.0);
        deserialize_f64: "f64", visit_f64(1.0);
        deserialize_char: "char", visit_char('a');
        deserialize_str: "str", visit_borrowed_str("a");
        deserialize_string: "str", visit_borrowed_str("a");
        deserialize_unit: "unit", visit_unit();
    }

    fn deserialize_bytes<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Opaque> {
        // On the wire a run of bytes and a sequence of them are the same.
        self.draw("seq")?;
        self.inner().draw("u8")?;
        visitor.visit_borrowed_bytes(b"a")
    }

    fn deserialize_byte_buf<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Opaque> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Opaque> {
        self.draw("option")?;
        visitor.visit_some(self.inner())
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(self, _: &'static str, visitor: V) -> Result<V::Value, Opaque> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, _: &'static str, visitor: V) -> Result<V::Value, Opaque> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Opaque> {
        self.draw("seq")?;
        visitor.visit_seq(Few { pen: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'static>>(mut self, len: usize, visitor: V) -> Result<V::Value, Opaque> {
        self.draw("tuple")?;
        self.sketch.number(len as u64);
        visitor.visit_seq(Few { pen: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Opaque> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Opaque> {
        self.draw("map")?;
        visitor.visit_map(Few { pen: self, left: 1 })
    }

    fn deserialize_struct<V: Visitor<'static>>(
        mut self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Opaque> {
        self.names("struct", fields)?;
        visitor.visit_seq(Few { pen: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'static>>(
        mut self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Opaque> {
        self.names("enum", variants)?;
        let count = u32::try_from(variants.len()).unwrap_or(u32::MAX);
        self.sketch.variants = self.sketch.variants.max(count);
        visitor.visit_enum(OneVariant { index: self.sketch.variant.min(count.saturating_sub(1)), pen: self })
    }

    fn deserialize_identifier<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Opaque> {
        Err(Opaque)
    }

    fn deserialize_any<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Opaque> {
        Err(Opaque)
    }

    fn deserialize_ignored_any<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Opaque> {
        Err(Opaque)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// So many elements.
struct Few<'a> {
    pen: Pen<'a>,
    left: usize,
}

impl<'a> SeqAccess<'static> for Few<'a> {
    type Error = Opaque;

    fn next_element_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<Option<T::Value>, Opaque> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.pen.inner()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl MapAccess<'static> for Few<'_> {
    type Error = Opaque;

    fn next_key_seed<K: DeserializeSeed<'static>>(&mut self, seed: K) -> Result<Option<K::Value>, Opaque> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'static>>(&mut self, seed: V) -> Result<V::Value, Opaque> {
        seed.deserialize(self.pen.inner())
    }
}

/// The variant that is looked into.
struct OneVariant<'a> {
    index: u32,
    pen: Pen<'a>,
}

impl<'a> EnumAccess<'static> for OneVariant<'a> {
    type Error = Opaque;
    type Variant = Pen<'a>;

    fn variant_seed<V: DeserializeSeed<'static>>(self, seed: V) -> Result<(V::Value, Pen<'a>), Opaque> {
        let index: U32Deserializer<Opaque> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self.pen))
    }
}

impl VariantAccess<'static> for Pen<'_> {
    type Error = Opaque;

    fn unit_variant(mut self) -> Result<(), Opaque> {
        self.draw("unit")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'static>>(mut self, seed: T) -> Result<T::Value, Opaque> {
        seed.deserialize(self.inner())
    }

    fn tuple_variant<V: Visitor<'static>>(self, len: usize, visitor: V) -> Result<V::Value, Opaque> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Opaque> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Name, Text};

    fn shape<T: Deserialize<'static>>() -> u64 {
        let mut sketch = Sketch::new();
        sketch.value::<T>();
        sketch.hash()
    }

    #[derive(Deserialize)]
    struct Format {
        _width: u32,
        _height: u32,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "it is drawn, and never made")]
    enum Event {
        _Nothing,
        _Picture { _width: u32, _height: u32 },
        _Sound(u16),
    }

    #[test]
    fn what_travels_alike_has_one_shape() {
        assert_eq!(shape::<&str>(), shape::<String>());
        assert_eq!(shape::<&[u8]>(), shape::<Vec<u8>>());
        assert_eq!(shape::<Name>(), shape::<Text>(), "both are strings");
    }

    #[test]
    fn each_difference_shows() {
        mod other {
            #[derive(serde::Deserialize)]
            pub struct Swapped {
                _height: u32,
                _width: u32,
            }
            #[derive(serde::Deserialize)]
            #[expect(dead_code, reason = "it is drawn, and never made")]
            pub enum Last {
                _Nothing,
                _Picture { _width: u32, _height: u32 },
                _Sound(u32),
            }
        }
        assert_ne!(shape::<Format>(), shape::<other::Swapped>());
        assert_ne!(shape::<Event>(), shape::<other::Last>(), "the last variant is looked into as well");
        assert_ne!(shape::<Vec<u16>>(), shape::<Vec<u32>>());
        assert_ne!(shape::<Option<Format>>(), shape::<Format>());
        assert_ne!(shape::<(u8, u16)>(), shape::<(u16, u8)>());
    }

    #[test]
    fn drawing_ends() {
        #[derive(Deserialize)]
        struct Endless {
            _next: Option<Box<Endless>>,
        }
        assert_eq!(shape::<Endless>(), shape::<Endless>());
        assert_ne!(shape::<[[[u8; 32]; 32]; 32]>(), shape::<[[[u8; 32]; 32]; 31]>());
    }
}
