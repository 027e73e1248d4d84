//! What goes into a statement and comes out of a row, the same for both databases.
//! In: numbers and texts, which is all that the tables have. Out: parameters for either driver,
//! and cells of either driver's rows. Leaves to others: connections (`sqlite`, `postgres`).

use super::StoreError;
use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type};

/// A parameter, or a cell of what was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(Box<str>),
    /// The first cell, or another, of the row that an earlier step of the same program gave.
    Of(usize, usize),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        // PostgreSQL takes every character but this one.
        if value.contains('\0') {
            return Self::Text(value.replace('\0', "\u{fffd}").into());
        }
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::from(value.as_str())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::value::Value::from($value)),*] };
}
pub(super) use values;

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null | Self::Of(..) => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
        }))
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null | Self::Of(..) => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql_checked(kind, out),
            Self::Text(value) => (&**value).to_sql_checked(kind, out),
        }
    }

    // Each variant has its own types, and they are checked above.
    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A row of either database, its cells by position.
pub(super) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// A number.
    pub(super) fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(index)?),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    /// A number that may be missing.
    pub(super) fn maybe_int(&self, index: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(index)?),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    /// A text.
    pub(super) fn text(&self, index: usize) -> Result<String, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(index)?),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    /// A text that may be missing.
    pub(super) fn maybe_text(&self, index: usize) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(index)?),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }

    /// Yes or no, kept as 1 or 0.
    pub(super) fn flag(&self, index: usize) -> Result<bool, StoreError> {
        self.int(index).map(|value| value != 0)
    }

    /// All cells, for who does not know what they are.
    pub(super) fn cells(&self) -> Result<Vec<Value>, StoreError> {
        let count = match self {
            Self::Sqlite(row) => row.as_ref().column_count(),
            Self::Postgres(row) => row.len(),
        };
        (0..count).map(|index| self.cell(index)).collect()
    }

    fn cell(&self, index: usize) -> Result<Value, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                other => Value::Text(other.as_str().map_err(rusqlite::Error::from)?.into()),
            }),
            Self::Postgres(row) if *row.columns()[index].type_() == Type::INT8 => {
                Ok(row.try_get::<_, Option<i64>>(index)?.into())
            }
            Self::Postgres(row) => Ok(row.try_get::<_, Option<&str>>(index)?.into()),
        }
    }
}

/// The row a step gave, taken apart by who knows what is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells(pub(super) Vec<Value>);

impl Cells {
    /// The number at a place; an error when there is none.
    pub(super) fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.0.get(index) {
            Some(Value::Int(value)) => Ok(*value),
            other => Err(StoreError::Shape(format!("a number, not {other:?}, at {index}"))),
        }
    }

    /// The text at a place; an error when there is none.
    pub(super) fn text(&self, index: usize) -> Result<String, StoreError> {
        match self.0.get(index) {
            Some(Value::Text(value)) => Ok(value.to_string()),
            other => Err(StoreError::Shape(format!("a text, not {other:?}, at {index}"))),
        }
    }
}
