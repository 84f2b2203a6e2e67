//! Numbers and sizes that stay within their bounds. Pure.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 1,024 bytes.
pub(super) const KIB: u64 = 1 << 10;
/// 1,024 KiB.
pub(super) const MIB: u64 = 1 << 20;
/// 1,024 MiB.
pub(super) const GIB: u64 = 1 << 30;

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// A number known when compiling; one out of bounds doesn't compile in a constant.
    ///
    /// # Panics
    /// If the number is out of bounds.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        assert!(MIN <= number && number <= MAX, "out of bounds");
        Self(number)
    }

    /// The number, if it is within the bounds.
    #[must_use]
    pub const fn checked(number: u64) -> Option<Self> {
        if MIN <= number && number <= MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The least number allowed.
impl<const MIN: u64, const MAX: u64> Default for Within<MIN, MAX> {
    fn default() -> Self {
        Self(MIN)
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Within<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

struct Number<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> de::Visitor<'_> for Number<MIN, MAX> {
    type Value = Within<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let outside = || E::invalid_value(de::Unexpected::Signed(number), &self);
        u64::try_from(number).ok().and_then(Within::checked).ok_or_else(outside)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let outside = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
        Within::checked(number).ok_or_else(outside)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_u64(Number)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Within<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Within{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let allowed = format!("a whole number from {MIN} to {MAX}");
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX, "x-allowed": allowed })
    }
}

/// A number of bytes from `MIN` to `MAX`, both included; written `64KiB`, `16MiB`, `1GiB` or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// A number of bytes known when compiling; one out of bounds doesn't compile in a constant.
    ///
    /// # Panics
    /// If the number is out of bounds.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        assert!(MIN <= bytes && bytes <= MAX, "out of bounds");
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    fn allowed() -> String {
        format!("a size from {} to {} such as `64KiB` or `16MiB`", Bytes(MIN), Bytes(MAX))
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        let exact = units.iter().find(|(size, _)| self.0 != 0 && self.0.is_multiple_of(*size));
        match exact {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => self.0.fmt(f),
        }
    }
}

/// `64KiB`, `64Ki` or `65536` in bytes.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" => 1,
        "Ki" | "KiB" => KIB,
        "Mi" | "MiB" => MIB,
        "Gi" | "GiB" => GIB,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Size<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.0).fmt(f)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Size<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

struct SizeText<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> de::Visitor<'_> for SizeText<MIN, MAX> {
    type Value = Size<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Size::<MIN, MAX>::allowed())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        if (MIN..=MAX).contains(&number) {
            return Ok(Size(number));
        }
        Err(E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let within = bytes(text).filter(|number| (MIN..=MAX).contains(number));
        within.map(Size).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SizeText)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Size<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Size{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "x-allowed": Self::allowed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let cases = [
            ("0", Some(0), "0"),
            ("1000", Some(1000), "1000"),
            ("64KiB", Some(65_536), "64KiB"),
            ("1024Ki", Some(1_048_576), "1MiB"),
            ("2GiB", Some(2_147_483_648), "2GiB"),
            ("16MB", None, ""),
            ("MiB", None, ""),
            ("-1", None, ""),
            ("99999999999999999999", None, ""),
            ("17179869184GiB", None, ""),
        ];
        for (text, want, shown) in cases {
            assert_eq!(bytes(text), want, "{text}");
            assert_eq!(want.map(|n| Bytes(n).to_string()).unwrap_or_default(), shown, "{text}");
        }
    }
}
