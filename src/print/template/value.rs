//! What templates work on: data as Go's templates see it. A struct's fields keep their order and
//! are known even when they are empty; a map's keys are sorted and may be missing.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Serialize, Serializer};

use super::serialize::Builder;

/// A value. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Not there: a key that a map has not, JSON's `null` in plain data. `<no value>`.
    Nothing,
    /// Go's nil pointer: a field of a struct that is not set. `<nil>`.
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    List(Rc<[Value]>),
    /// A list that JSON shows as `null`.
    NilList,
    Map(Rc<Map>),
    /// A map that JSON shows as `null`.
    NilMap,
    Struct(Rc<Struct>),
    /// `.Label "name"`: a method with one argument.
    Label(Label),
}

/// A map, and what it gives by index for a key that it has not.
#[derive(Debug, PartialEq)]
pub(crate) struct Map {
    pub(super) entries: BTreeMap<String, Value>,
    pub(super) zero: Value,
}

impl Map {
    /// A map of values of one type, as Go's are: its zero value is that of the first.
    pub(super) fn typed(entries: BTreeMap<String, Value>) -> Self {
        let zero = match entries.values().next() {
            None | Some(Value::Text(_)) => Value::text(""),
            Some(Value::Struct(_) | Value::Nil) => Value::Nil,
            Some(Value::List(_) | Value::NilList) => Value::NilList,
            Some(Value::Int(_)) => Value::Int(0),
            Some(Value::Bool(_)) => Value::Bool(false),
            Some(_) => Value::Nothing,
        };
        Self { entries, zero }
    }
}

/// A struct: a type's name and its fields in order.
#[derive(Debug, PartialEq)]
pub(crate) struct Struct {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
}

/// A field, with the name that JSON has for it.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: Value,
    /// JSON leaves it out.
    pub(super) omitted: bool,
}

impl Field {
    /// The name that Go's struct has for it, where it is not JSON's.
    pub(super) fn go_name(&self) -> &'static str {
        match self.name {
            "Id" => "ID",
            "CpuShares" => "CPUShares",
            "CpuPeriod" => "CPUPeriod",
            "CpuQuota" => "CPUQuota",
            "CpuRealtimePeriod" => "CPURealtimePeriod",
            "CpuRealtimeRuntime" => "CPURealtimeRuntime",
            "CpuCount" => "CPUCount",
            "CpuPercent" => "CPUPercent",
            "NanoCpus" => "NanoCPUs",
            "Dns" => "DNS",
            "DnsOptions" => "DNSOptions",
            "DnsSearch" => "DNSSearch",
            name => name,
        }
    }
}

impl Struct {
    pub(super) fn field(&self, go_name: &str) -> Option<&Value> {
        let field = self.fields.iter().find(|field| field.go_name() == go_name);
        field.map(|field| &field.value)
    }
}

/// The method `Label` of rows and of their header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Label {
    /// The value of a label, empty when there is none.
    Of(Rc<BTreeMap<String, String>>),
    /// The column's title for a label: its last word.
    Title,
}

impl Label {
    pub(super) fn call(&self, name: &str) -> String {
        match self {
            Self::Of(labels) => labels.get(name).cloned().unwrap_or_default(),
            Self::Title => {
                let last = name.rsplit('.').next().unwrap_or(name);
                last.replace(['-', '_'], " ")
            }
        }
    }
}

impl Value {
    /// Any data, as Go's structs and maps would hold it.
    ///
    /// # Errors
    /// A map whose keys are not text.
    pub(crate) fn of(data: &impl Serialize) -> Result<Self, serde_json::Error> {
        data.serialize(Builder).map(|built| built.value)
    }

    /// The same data as if it had come from JSON: nothing but maps and lists in it.
    pub(super) fn plain(&self) -> Self {
        match self {
            Self::Nothing | Self::Nil | Self::NilList | Self::NilMap => Self::Nothing,
            Self::List(list) => Self::List(list.iter().map(Self::plain).collect()),
            Self::Map(map) => {
                let pairs = map.entries.iter();
                Self::untyped(pairs.map(|(name, value)| (name.clone(), value.plain())))
            }
            Self::Struct(fields) => {
                let kept = fields.fields.iter().filter(|field| !field.omitted);
                Self::untyped(kept.map(|field| (field.name.to_owned(), field.value.plain())))
            }
            other => other.clone(),
        }
    }

    fn untyped(entries: impl Iterator<Item = (String, Self)>) -> Self {
        Self::Map(Rc::new(Map {
            entries: entries.collect(),
            zero: Self::Nothing,
        }))
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Whether Go's templates take it for true: neither zero nor empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nothing | Self::Nil | Self::NilList | Self::NilMap => false,
            Self::Bool(yes) => *yes,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Struct(_) | Self::Label(_) => true,
        }
    }

    /// The name of its type, as Go's errors tell it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Nil => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) | Self::NilList => "[]interface {}",
            Self::Map(_) | Self::NilMap => "map[string]interface {}",
            Self::Struct(fields) => fields.name,
            Self::Label(_) => "func(string) string",
        }
    }

    /// Its JSON, on one line.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing | Self::Nil | Self::NilList | Self::NilMap | Self::Label(_) => {
                serializer.serialize_unit()
            }
            Self::Bool(yes) => serializer.serialize_bool(*yes),
            Self::Int(number) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_u64(u64::try_from(*number).unwrap_or(u64::MAX)),
            },
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list.iter()),
            Self::Map(map) => serializer.collect_map(map.entries.iter()),
            Self::Struct(fields) => serializer.collect_map(
                fields
                    .fields
                    .iter()
                    .filter(|field| !field.omitted && !matches!(field.value, Self::Label(_)))
                    .map(|field| (field.name, &field.value)),
            ),
        }
    }
}

/// A list that is `null` in JSON when it is empty, as Go's nil is, and `[]` in text.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct NilList<T>(pub(crate) Vec<T>);

/// A map that is `null` in JSON when it is empty, as Go's nil is, and `map[]` in text.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct NilMap<T>(pub(crate) BTreeMap<String, T>);

/// What JSON leaves out when it is zero, empty or not set.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Omit<T>(pub(crate) T);

/// The labels behind a row's method `Label`; JSON does not show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Labels(pub(crate) BTreeMap<String, String>);
