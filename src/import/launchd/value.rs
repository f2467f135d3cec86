//! The values of a property list, no deeper and no more of them than any job has.
//!
//! In a binary list a value may stand in several places, so that two hundred bytes can hold more values than a machine has room
//! for, and a long text be there ten thousand times; and a million parentheses, one within the other, take more stack than a
//! thread has. So values are taken one by one, and their sizes added up. A date comes as its text.

use std::cell::Cell;
use std::fmt;

use plist::{Dictionary, Value};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

const DEEPEST: u32 = 64;

/// The most that the values come to, in bytes, and what each takes beside its text: sixteen thousand of them at most.
const MOST: usize = super::LARGEST;
const EACH: usize = 64;

/// What a list is refused with that has more.
const TOO_MUCH: &str = "its values come to more than a megabyte, or stand more than 64 deep";

/// Reads a list.
pub(super) fn read(bytes: &[u8]) -> Result<Value, String> {
    match plist::from_reader(std::io::Cursor::new(bytes)) {
        Ok(Whole(value)) => Ok(value),
        Err(error) if error.to_string().contains(TOO_MUCH) => Err(TOO_MUCH.to_owned()),
        Err(error) => Err(format!("it is no property list in XML or binary: {error}")),
    }
}

struct Whole(Value);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MOST);
        Part { depth: 0, left: &left }.deserialize(deserializer).map(Whole)
    }
}

/// A value at a depth, while so much may still come.
#[derive(Clone, Copy)]
struct Part<'a> {
    depth: u32,
    left: &'a Cell<usize>,
}

impl Part<'_> {
    fn take<E: Error>(self, size: usize) -> Result<(), E> {
        self.left.set(self.left.get().checked_sub(size).ok_or_else(|| E::custom(TOO_MUCH))?);
        Ok(())
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST { Err(E::custom(TOO_MUCH)) } else { Ok(Part { depth: self.depth + 1, ..self }) }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take(EACH)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a property list")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        self.take(value.len())?;
        Ok(Value::Data(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            found.push(item);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut found = Dictionary::new();
        while let Some((key, value)) = entries.next_entry_seed(std::marker::PhantomData::<String>, inner)? {
            inner.take(key.len())?;
            found.insert(key, value);
        }
        Ok(Value::Dictionary(found))
    }
}
