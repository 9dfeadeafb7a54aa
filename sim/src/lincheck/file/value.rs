//! Values of histories: whatever JSON or EDN can say.

use std::fmt;

use clojure_reader::edn::Edn;

/// The deepest nesting of a value.
pub const VALUE_DEPTH_MAX: usize = 64;

/// A value. Numbers with and without a fraction differ: 1 is not 1.0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing: null, nil.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// The bits of another number. JSON's whole numbers beyond 64 bits come here too, rounded.
    Float(u64),
    /// A text.
    Text(String),
    /// EDN that JSON does not have (keywords, symbols, characters, ratios, sets, tagged values), as
    /// it is written.
    Other(String),
    /// A list, or a vector.
    List(Vec<Value>),
    /// A map, sorted by its keys.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Takes over a JSON value.
    #[must_use]
    pub fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(flag) => Self::Bool(flag),
            serde_json::Value::Number(number) => number.as_i128().map_or_else(
                || Self::Float(number.as_f64().unwrap_or(f64::NAN).to_bits()),
                Self::Integer,
            ),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => {
                Self::List(items.into_iter().map(Self::from_json).collect())
            }
            serde_json::Value::Object(fields) => {
                let fields = fields.into_iter();
                let mut fields: Vec<_> = fields
                    .map(|(name, value)| (Self::Text(name), Self::from_json(value)))
                    .collect();
                fields.sort_unstable();
                Self::Map(fields)
            }
        }
    }

    /// Takes over an EDN value; `None` if it is nested deeper than [`VALUE_DEPTH_MAX`].
    pub(super) fn from_edn(edn: &Edn<'_>) -> Option<Self> {
        from_edn(edn, VALUE_DEPTH_MAX)
    }
}

fn from_edn(edn: &Edn<'_>, depth: usize) -> Option<Value> {
    let inner = depth.checked_sub(1)?;
    Some(match edn {
        Edn::Nil => Value::Nil,
        Edn::Bool(flag) => Value::Bool(*flag),
        Edn::Int(number) => Value::Integer((*number).into()),
        Edn::Double(number) => Value::Float(number.to_bits()),
        Edn::Str(text) => Value::Text(text.to_string()),
        Edn::Vector(items) | Edn::List(items) => {
            Value::List(items.iter().map(|item| from_edn(item, inner)).collect::<Option<_>>()?)
        }
        Edn::Map(fields) => {
            let pair = |(key, value)| Some((from_edn(key, inner)?, from_edn(value, inner)?));
            Value::Map(fields.iter().map(pair).collect::<Option<_>>()?)
        }
        Edn::Set(items) => {
            items.iter().try_for_each(|item| from_edn(item, inner).map(drop))?;
            Value::Other(edn.to_string())
        }
        Edn::Tagged(_, tagged) => {
            from_edn(tagged, inner)?;
            Value::Other(edn.to_string())
        }
        _ => Value::Other(edn.to_string()),
    })
}

/// As JSON writes it, but nothing is `nil` and EDN's own values are as EDN writes them.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => formatter.write_str("nil"),
            Self::Bool(flag) => write!(formatter, "{flag}"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(bits) => write!(formatter, "{:?}", f64::from_bits(*bits)),
            Self::Text(text) => {
                write!(formatter, "{}", serde_json::Value::from(text.as_str()))
            }
            Self::Other(text) => formatter.write_str(text),
            Self::List(items) => {
                formatter.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(formatter, "{comma}{item}")?;
                }
                formatter.write_str("]")
            }
            Self::Map(fields) => {
                formatter.write_str("{")?;
                for (place, (key, value)) in fields.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(formatter, "{comma}{key}: {value}")?;
                }
                formatter.write_str("}")
            }
        }
    }
}
