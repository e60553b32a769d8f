//! Which keys a recipe has, and which of them is at fault.
//!
//! serde loses the key of a wrong value inside a flattened struct and cannot list the keys of a
//! recipe. Both are known to the parts, so these are read one by one first.

use serde::de::value::Error as NoValue;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use toml::Table;

use super::Recipe;
use crate::Error;

/// A struct of keys.
#[derive(Clone, Copy)]
pub struct Part {
    keys: fn() -> &'static [&'static str],
    check: fn(Table) -> Result<(), toml::de::Error>,
}

impl Part {
    /// The part that `T` is; a struct that flattens none.
    pub const fn of<T: DeserializeOwned>() -> Self {
        Self { keys: keys::<T>, check: check::<T> }
    }
}

/// Every key that a recipe has, in the order of its parts.
pub fn known_keys<R: Recipe>() -> Vec<&'static str> {
    R::PARTS.iter().flat_map(|part| (part.keys)()).copied().collect()
}

/// The recipe in a table that came from `place`.
pub(super) fn parse<R: Recipe>(table: &Table, place: &str) -> Result<R, Error> {
    let known = known_keys::<R>();
    if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
        let (place, known) = (place.to_owned(), known.join(", "));
        return Err(Error::UnknownKey { place, key: key.clone(), known });
    }
    for part in R::PARTS {
        let mut values = table.clone();
        values.retain(|key, _| (part.keys)().contains(&key));
        (part.check)(values).map_err(|error| Error::config(place, &error))?;
    }
    table.clone().try_into().map_err(|error| Error::config(place, &error))
}

fn check<T: DeserializeOwned>(table: Table) -> Result<(), toml::de::Error> {
    table.try_into::<T>().map(drop)
}

/// The fields that the derived `Deserialize` of a struct asks for.
fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut asked: &[&str] = &[];
    // It only listens, so there is never a value.
    drop(T::deserialize(Listener(&mut asked)));
    asked
}

struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = NoValue;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
        Err(NoValue::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, NoValue> {
        *self.0 = fields;
        Err(NoValue::custom("no values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
