//! The values of the language that are more than TOML's own: each parses itself where serde finds it, so that an
//! error points at the value.
//!
//! A message from here reads `TITLE: LABEL`, where the title completes "`key` is …"; `structure` takes it apart.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor, value::MapAccessDeserializer};
use serde_spanned::Spanned;

use crate::duration::{self, DurationError};
use crate::policy::{Scalar, Test};
use crate::size;

/// A value and its place in the file, in bytes.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table and nothing else: by itself, serde would also read a list as one, value after value.
pub(super) fn table<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Map<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Map(PhantomData))
}

/// The same where the table may be left out.
pub(super) fn optional_table<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    table(deserializer).map(Some)
}

/// One table of [`Named`].
#[derive(Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de>")]
struct One<T>(#[serde(deserialize_with = "table")] T);

/// Tables with names, in the order of the file.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Tables<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut tables = Vec::new();
                while let Some((name, One(table))) = map.next_entry::<At<String>, One<T>>()? {
                    tables.push((name, table));
                }
                tables.sort_by_key(|(name, _)| name.span.start);
                Ok(Named(tables))
            }
        }

        deserializer.deserialize_map(Tables(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("NamedTablesOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_][a-z0-9_-]{0,63}$" },
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

/// Files with names, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct NamedFiles(pub(super) Vec<(At<String>, At<String>)>);

impl<'de> Deserialize<'de> for NamedFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Files;

        impl<'de> Visitor<'de> for Files {
            type Value = NamedFiles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut files = Vec::new();
                while let Some(file) = map.next_entry::<At<String>, At<String>>()? {
                    files.push(file);
                }
                files.sort_by_key(|(name, _)| name.span.start);
                Ok(NamedFiles(files))
            }
        }

        deserializer.deserialize_map(Files)
    }
}

impl JsonSchema for NamedFiles {
    fn schema_name() -> Cow<'static, str> {
        "NamedFiles".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_][a-z0-9_-]{0,63}$" },
            "additionalProperties": { "type": "string" },
        })
    }
}

/// Defines a newtype that is written as a string, and whose schema is a string with a description and examples.
macro_rules! written {
    ($(#[$doc:meta])* $name:ident($inner:ty) = $what:literal, $examples:tt, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Written;

                impl Visitor<'_> for Written {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                        $parse(text).map($name).map_err(E::custom)
                    }

                    /// A number without quotes has no unit; the parser of the type says what is wrong with that.
                    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                        self.visit_str(&number.to_string())
                    }
                }

                deserializer.deserialize_any(Written)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": $examples })
            }
        }
    };
}

written! {
    /// A duration: `30m`, `24h`, `0.5h`, `1h30m`, `7d`, `2w`.
    Period(Duration) = "a duration in quotes, such as `\"30m\"`, `\"24h\"` or `\"7d\"`", ["30m", "24h", "0.5h", "7d"],
    |text: &str| duration::parse(text).map_err(not_a_duration)
}

written! {
    /// A size in bytes: `500MB`, `10GiB`.
    Bytes(u64) = "a size in quotes, such as `\"500MB\"` or `\"10GiB\"`", ["500MB", "10GiB"],
    |text: &str| size::parse(text).map_err(not_a_size)
}

written! {
    /// Space on a file system: `10%`, or a size.
    Space(Room) = "a percentage or a size in quotes, such as `\"10%\"` or `\"5GiB\"`", ["10%", "5GiB"], room
}

/// What [`Space`] is given in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Room {
    /// A share of the file system, above 0 and below 100.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
}

fn not_a_duration(error: DurationError) -> String {
    match error {
        DurationError::Syntax => {
            "not a duration: expected a number and a unit, such as `30m`, `24h`, `1h30m` or `7d`".to_owned()
        }
        error => format!("not a duration: {error}"),
    }
}

fn not_a_size(_: size::SizeError) -> &'static str {
    "not a size: write `500MB` (powers of 1000), `10GiB` (powers of 1024) or `10M` (as `10MB`)"
}

fn room(text: &str) -> Result<Room, &'static str> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() {
        return Err("neither a percentage nor a size: write a unit, such as `10%` or `5GiB`");
    }
    let Some(percent) = text.strip_suffix('%') else {
        return size::parse(text).map(Room::Bytes).map_err(not_a_size);
    };
    match percent.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(Room::Percent(percent)),
        _ => Err("not a percentage: expected 0% to 100%"),
    }
}

/// `true`, `false`, or a string that becomes one of them: `"${CLEANUP_ENABLED:-true}"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch(pub(super) bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Switch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or a variable that holds one of them")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
                Ok(Switch(on))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text.trim() {
                    "true" => Ok(Switch(true)),
                    "false" => Ok(Switch(false)),
                    _ => Err(E::custom("not a boolean: expected `true` or `false`")),
                }
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Switch {
    fn schema_name() -> Cow<'static, str> {
        "Switch".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "boolean" },
            { "type": "string", "pattern": "^(true|false|.*\\$\\{.*\\}.*)$" },
        ]})
    }
}

/// Free space to keep: the lower mark alone, or a table of marks.
#[derive(Clone, Debug)]
pub(super) struct MinFree {
    /// Below this the policy begins to free space.
    pub(super) low: Option<Space>,
    /// Up to this it goes on; the lower mark when not given.
    pub(super) high: Option<Space>,
    /// The same for inodes, as a share.
    pub(super) inodes: Option<Space>,
}

/// Free space to keep, as a table of marks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Marks {
    /// Start to remove the oldest files below this much free space.
    low: Option<Space>,
    /// Remove files until this much is free. Default: `low`.
    high: Option<Space>,
    /// Also start below this share of free inodes.
    inodes: Option<Space>,
}

impl<'de> Deserialize<'de> for MinFree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MinFree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`\"10%\"`, `\"5GiB\"` or `{ low = \"5%\", high = \"10%\" }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let low = room(text).map_err(E::custom)?;
                Ok(MinFree { low: Some(Space(low)), high: None, inodes: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Marks { low, high, inodes } = Marks::deserialize(MapAccessDeserializer::new(map))?;
                if low.is_none() && inodes.is_none() {
                    return Err(A::Error::custom("incomplete: write `low`, `inodes` or both"));
                }
                Ok(MinFree { low, high, inodes })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for MinFree {
    fn schema_name() -> Cow<'static, str> {
        "MinFree".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Space>(), generator.subschema_for::<Marks>()] })
    }
}

/// A positive number, whole or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight(pub(super) f64);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let weight = f64::deserialize(deserializer)?;
        if weight.is_finite() && weight > 0.0 {
            return Ok(Self(weight));
        }
        Err(D::Error::invalid_value(Unexpected::Float(weight), &"a number above 0"))
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}

/// The name of a column, or of several.
#[derive(Clone, Debug)]
pub(super) struct Columns(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column such as `\"last_activity\"`, or a list of columns")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Columns(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = items.next_element()? {
                    columns.push(column);
                }
                Ok(Columns(columns))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ]})
    }
}

/// Columns, and what is asked of each, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Conditions(pub(super) Vec<(At<String>, Test)>);

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Conditions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of columns, such as `{ status = [\"done\"] }`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut conditions = Vec::new();
                while let Some((column, Asked(test))) = map.next_entry::<At<String>, Asked>()? {
                    conditions.push((column, test));
                }
                conditions.sort_by_key(|(column, _)| column.span.start);
                Ok(Conditions(conditions))
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

impl JsonSchema for Conditions {
    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({ "type": ["string", "integer", "boolean"] });
        let values = json_schema!({ "type": "array", "items": value, "minItems": 1 });
        json_schema!({
            "type": "object",
            "additionalProperties": { "anyOf": [value, values, generator.subschema_for::<Not>()] },
        })
    }
}

/// What is asked of a column: a value, several, or a table.
struct Asked(Test);

/// What a column must not be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Not")]
struct Not {
    /// Whether the column must be null, or must not be.
    null: Option<bool>,
    /// Values that it must not have. Rows in which it is null stay.
    not: Option<OneOrMore>,
}

/// A value, or a list of values.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Value),
    More(Vec<Value>),
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMore".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": ["string", "integer", "boolean"] },
            { "type": "array", "items": { "type": ["string", "integer", "boolean"] }, "minItems": 1 },
        ]})
    }
}

/// A value to compare with.
struct Value(Scalar);

const A_VALUE: &str = "a string, a whole number, `true` or `false`";

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_VALUE)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value(Scalar::Text(text.to_owned())))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Value(Scalar::Integer(number)))
            }

            fn visit_bool<E: Error>(self, is_true: bool) -> Result<Self::Value, E> {
                Ok(Value(Scalar::Boolean(is_true)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Asked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values, `{ not = [\"keep\"] }` or `{ null = true }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Asked(Test::OneOf(vec![Scalar::Text(text.to_owned())])))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Asked(Test::OneOf(vec![Scalar::Integer(number)])))
            }

            fn visit_bool<E: Error>(self, is_true: bool) -> Result<Self::Value, E> {
                Ok(Asked(Test::OneOf(vec![Scalar::Boolean(is_true)])))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Value(value)) = items.next_element()? {
                    values.push(value);
                }
                Ok(Asked(Test::OneOf(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let values = |values: OneOrMore| match values {
                    OneOrMore::One(Value(value)) => vec![value],
                    OneOrMore::More(values) => values.into_iter().map(|Value(value)| value).collect(),
                };
                match Not::deserialize(MapAccessDeserializer::new(map))? {
                    Not { null: Some(is_null), not: None } => Ok(Asked(Test::Null(is_null))),
                    Not { null: None, not: Some(not) } => Ok(Asked(Test::NoneOf(values(not)))),
                    _ => Err(A::Error::custom("ambiguous: write either `null` or `not`")),
                }
            }
        }

        deserializer.deserialize_any(Any)
    }
}
