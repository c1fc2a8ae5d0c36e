//! From anything that serde can write to a template's [`Value`].

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct, Serializer,
};

use super::value::{Field, Label, Map, Struct, Value};

type Error = serde_json::Error;

/// Makes a value of what is written to it. It knows `NilList`, `NilMap`, `Omit` and `Labels` by
/// their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Builder;

/// A value, and whether JSON leaves it out where it is a struct's field.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) value: Value,
    omitted: bool,
    /// Whether Go has a pointer to it, which it leaves out only where it points nowhere.
    pointed: bool,
}

impl From<Value> for Built {
    fn from(value: Value) -> Self {
        Self {
            value,
            omitted: false,
            pointed: false,
        }
    }
}

/// A list in the making.
#[derive(Debug)]
pub(super) struct ListBuilder(Vec<Value>);

/// A map in the making.
#[derive(Debug)]
pub(super) struct MapBuilder {
    map: BTreeMap<String, Value>,
    key: String,
}

/// A struct in the making.
#[derive(Debug)]
pub(super) struct StructBuilder(Struct);

fn integer(number: impl Into<i128>) -> Result<Built, Error> {
    Ok(Value::Int(number.into()).into())
}

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::custom(format!("{what} cannot be put in a template")))
}

impl Serializer for Builder {
    type Ok = Built;
    type Error = Error;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ListBuilder;
    type SerializeTupleStruct = ListBuilder;
    type SerializeTupleVariant = Impossible<Built, Error>;
    type SerializeMap = MapBuilder;
    type SerializeStruct = StructBuilder;
    type SerializeStructVariant = Impossible<Built, Error>;

    fn serialize_bool(self, v: bool) -> Result<Built, Error> {
        Ok(Value::Bool(v).into())
    }
    fn serialize_i8(self, v: i8) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_i16(self, v: i16) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_i32(self, v: i32) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_i64(self, v: i64) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_u8(self, v: u8) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_u16(self, v: u16) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_u32(self, v: u32) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_u64(self, v: u64) -> Result<Built, Error> {
        integer(v)
    }
    fn serialize_f32(self, v: f32) -> Result<Built, Error> {
        Ok(Value::Float(v.into()).into())
    }
    fn serialize_f64(self, v: f64) -> Result<Built, Error> {
        Ok(Value::Float(v).into())
    }
    fn serialize_char(self, v: char) -> Result<Built, Error> {
        Ok(Value::text(v.to_string()).into())
    }
    fn serialize_str(self, v: &str) -> Result<Built, Error> {
        Ok(Value::text(v).into())
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Built, Error> {
        refused("bytes")
    }
    fn serialize_none(self) -> Result<Built, Error> {
        Ok(Value::Nil.into())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Built, Error> {
        Ok(Built {
            pointed: true,
            ..value.serialize(self)?
        })
    }
    fn serialize_unit(self) -> Result<Built, Error> {
        Ok(Value::Nothing.into())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Built, Error> {
        Ok(Value::Nothing.into())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Built, Error> {
        Ok(Value::text(variant).into())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Built, Error> {
        let built = value.serialize(self)?;
        Ok(match (name, built.value) {
            ("Omit", value) => Built {
                omitted: !built.pointed && !value.truth(),
                ..value.into()
            },
            ("NilList", Value::List(list)) if list.is_empty() => Value::NilList.into(),
            ("NilMap", Value::Map(map)) if map.entries.is_empty() => Value::NilMap.into(),
            ("Labels", Value::Map(map)) => {
                let pairs = map.entries.iter().filter_map(|(name, value)| match value {
                    Value::Text(text) => Some((name.clone(), text.as_ref().to_owned())),
                    _ => None,
                });
                Value::Label(Label::Of(Rc::new(pairs.collect()))).into()
            }
            (_, value) => value.into(),
        })
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Built, Error> {
        let map = BTreeMap::from([(variant.to_owned(), value.serialize(self)?.value)]);
        Ok(Value::Map(Rc::new(Map::typed(map))).into())
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<ListBuilder, Error> {
        Ok(ListBuilder(Vec::with_capacity(
            length.unwrap_or(0).min(4096),
        )))
    }
    fn serialize_tuple(self, length: usize) -> Result<ListBuilder, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<ListBuilder, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        refused("a variant of several values")
    }
    fn serialize_map(self, _: Option<usize>) -> Result<MapBuilder, Error> {
        Ok(MapBuilder {
            map: BTreeMap::new(),
            key: String::new(),
        })
    }
    fn serialize_struct(self, name: &'static str, fields: usize) -> Result<StructBuilder, Error> {
        Ok(StructBuilder(Struct {
            name,
            fields: Vec::with_capacity(fields),
        }))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        refused("a variant of several values")
    }
}

impl SerializeSeq for ListBuilder {
    type Ok = Built;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.0.push(value.serialize(Builder)?.value);
        Ok(())
    }
    fn end(self) -> Result<Built, Error> {
        Ok(Value::List(self.0.into()).into())
    }
}

impl SerializeTuple for ListBuilder {
    type Ok = Built;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Result<Built, Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for ListBuilder {
    type Ok = Built;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Result<Built, Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeMap for MapBuilder {
    type Ok = Built;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = match key.serialize(Builder)?.value {
            Value::Text(key) => key.as_ref().to_owned(),
            Value::Int(key) => key.to_string(),
            _ => return refused("a key that is not text"),
        };
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = std::mem::take(&mut self.key);
        self.map.insert(key, value.serialize(Builder)?.value);
        Ok(())
    }
    fn end(self) -> Result<Built, Error> {
        Ok(Value::Map(Rc::new(Map::typed(self.map))).into())
    }
}

impl SerializeStruct for StructBuilder {
    type Ok = Built;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let Built { value, omitted, .. } = value.serialize(Builder)?;
        self.0.fields.push(Field {
            name,
            value,
            omitted,
        });
        Ok(())
    }
    fn end(self) -> Result<Built, Error> {
        Ok(Value::Struct(Rc::new(self.0)).into())
    }
}
