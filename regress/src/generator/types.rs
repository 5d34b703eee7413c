//! The types of generated columns and expressions, and values of them: few, so that they meet, and awkward.

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Price,
    Float4,
    Float8,
    Text,
    Varchar,
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Jsonb,
    Ints,
    Numbers,
    Range,
    Mood,
    Pair,
    Small,
}

use Type::*;

pub const ALL: [Type; 25] = [
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Price,
    Float4,
    Float8,
    Text,
    Varchar,
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Jsonb,
    Ints,
    Numbers,
    Range,
    Mood,
    Pair,
    Small,
];

/// Types that are compared with each other.
const NUMBERS: [Type; 8] = [Int2, Int4, Int8, Numeric, Price, Float4, Float8, Small];
const TEXTS: [Type; 2] = [Text, Varchar];
const INSTANTS: [Type; 3] = [Date, Timestamp, TimestampTz];

/// What a case needs before its tables.
pub const DEFINITIONS: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); \
     CREATE TYPE pair AS (a int, b numeric); CREATE DOMAIN small AS int CHECK (VALUE BETWEEN -100 AND 100); \
     CREATE FUNCTION user_twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * $1'; \
     CREATE FUNCTION user_step(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT coalesce($1, 0) + coalesce($2, 0)'; \
     CREATE AGGREGATE user_sum(int) (sfunc = user_step, stype = int); \
     CREATE FUNCTION user_append(text, int) RETURNS text IMMUTABLE LANGUAGE plpgsql \
         AS 'BEGIN RETURN concat($1, chr(47), $2); END'; \
     CREATE AGGREGATE user_list(int) (sfunc = user_append, stype = text)";

impl Type {
    pub fn sql(self) -> &'static str {
        match self {
            Bool => "bool",
            Int2 => "int2",
            Int4 => "int4",
            Int8 => "int8",
            Numeric => "numeric",
            Price => "numeric(8,2)",
            Float4 => "float4",
            Float8 => "float8",
            Text => "text",
            Varchar => "varchar(6)",
            Char => "char(4)",
            Bytea => "bytea",
            Date => "date",
            Time => "time",
            Timestamp => "timestamp",
            TimestampTz => "timestamptz",
            Interval => "interval",
            Uuid => "uuid",
            Jsonb => "jsonb",
            Ints => "int4[]",
            Numbers => "numeric[]",
            Range => "int4range",
            Mood => "mood",
            Pair => "pair",
            Small => "small",
        }
    }

    /// The name in templates of expressions, and of columns.
    pub fn short(self) -> &'static str {
        match self {
            Price => "price",
            Varchar => "varchar",
            Char => "char",
            Ints => "ints",
            Numbers => "numbers",
            Range => "range",
            other => other.sql(),
        }
    }

    pub fn named(short: &str) -> Type {
        *ALL.iter().find(|ty| ty.short() == short).unwrap_or_else(|| panic!("no type is called {short}"))
    }

    /// Whether equal values of the type are the same value to the byte.
    pub fn equal_is_same(self) -> bool {
        !matches!(self, Numeric | Price | Float4 | Float8 | Char | Interval | Jsonb | Numbers | Pair)
    }

    /// Another type whose values can be compared with this one's.
    pub fn comparable(self, random: &mut Random) -> Type {
        let family: &[Type] = match self {
            _ if NUMBERS.contains(&self) => &NUMBERS,
            _ if TEXTS.contains(&self) => &TEXTS,
            _ if INSTANTS.contains(&self) => &INSTANTS,
            _ => return self,
        };
        if random.chance(60) {
            self
        } else {
            family[random.below(family.len())]
        }
    }

    /// Values that nothing fails on.
    fn values(self) -> &'static [&'static str] {
        match self {
            Bool => &["true", "false"],
            Int2 | Int4 | Int8 | Small => &["0", "1", "2", "3", "5", "-1", "-2", "7"],
            Numeric => &["0", "0.0", "1", "1.0", "1.00", "-2.50", "3.125", "NaN", "0.001", "Infinity", "7", "2"],
            Price => &["0", "1", "2.50", "-1.25", "3", "9.99"],
            Float4 => &["0", "-0", "1", "1.5", "NaN", "-0.25", "Infinity", "3"],
            Float8 => &["0", "-0", "1", "0.1", "NaN", "-1.5", "-Infinity", "3"],
            Text => &["", "a", "b", "ab", "A", "ä", "a b", "x", "%", "a  "],
            Varchar => &["", "a", "b", "ab", "abcdef", "x  "],
            Char => &["", "a", "b", "ab", "abcd"],
            Bytea => &["\\x", "\\x00", "\\x6162"],
            Date => &["2024-01-01", "2024-02-29", "1999-12-31", "2024-03-31"],
            Time => &["00:00", "12:30", "23:59:59.5"],
            Timestamp => &["2024-01-01", "2024-01-01 10:30", "1999-12-31 23:59:59.999", "2024-03-31 02:30"],
            TimestampTz => {
                &["2024-01-01 00:00+00", "2024-01-01 01:00+01", "1999-12-31 23:59+00", "2024-03-31 01:30+00"]
            }
            Interval => &["1 day", "24 hours", "1 month", "30 days", "-1 day", "90 minutes", "0"],
            Uuid => &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
            Jsonb => &[
                "{\"a\": 1}",
                "{\"a\": 1.0}",
                "1",
                "1.00",
                "[1]",
                "\"x\"",
                "null",
                "{}",
                "{\"a\": \"x\", \"b\": [1, 2]}",
            ],
            Ints => &["{}", "{1,2}", "{1,NULL}", "{3}", "[0:1]={1,2}"],
            Numbers => &["{}", "{1.0}", "{1}", "{1.00,NULL}", "{2,3.10}"],
            Range => &["empty", "[1,5)", "[2,2]", "(,3)"],
            Mood => &["sad", "ok", "happy"],
            Pair => &["(1,1.0)", "(1,1)", "(,)", "(2,)", "(2,2.50)"],
        }
    }

    /// Values on which arithmetic and casts fail.
    fn wild_values(self) -> &'static [&'static str] {
        match self {
            Int2 => &["32767", "-32768"],
            Int4 => &["2147483647", "-2147483648"],
            Int8 => &["9223372036854775807", "-9223372036854775808"],
            Price => &["999999.99"],
            Numeric => &["-Infinity", "1e20"],
            Small => &["100"],
            Text => &["12", "-3.5"],
            Date | Timestamp | TimestampTz => &["infinity"],
            other => other.values(),
        }
    }

    /// A literal for a row: as [`Type::value`], or the moment of its transaction.
    pub fn stored(self, random: &mut Random, wild: bool) -> String {
        match self {
            Date | Timestamp | TimestampTz if random.chance(15) => {
                let values: &[&str] = if self == Date { &["today", "yesterday", "tomorrow"] } else { &["now"] };
                format!("'{}'", values[random.below(values.len())])
            }
            _ => self.value(random, wild),
        }
    }

    /// A literal with its type, often NULL.
    pub fn literal(self, random: &mut Random, wild: bool) -> String {
        format!("{}::{}", self.value(random, wild), self.sql())
    }

    /// A literal with its type that is not NULL.
    pub fn constant(self, random: &mut Random, wild: bool) -> String {
        format!("{}::{}", self.known(random, wild), self.sql())
    }

    /// A literal for a column of the type, often NULL.
    pub fn value(self, random: &mut Random, wild: bool) -> String {
        if random.chance(15) {
            return "NULL".into();
        }
        self.known(random, wild)
    }

    fn known(self, random: &mut Random, wild: bool) -> String {
        let values = if wild && random.chance(6) { self.wild_values() } else { self.values() };
        format!("'{}'", values[random.below(values.len())])
    }
}

pub fn any(random: &mut Random) -> Type {
    // Half of all are of the common types, so that columns meet.
    const COMMON: [Type; 6] = [Int4, Text, Numeric, Int8, Float8, Date];
    if random.chance(50) {
        COMMON[random.below(COMMON.len())]
    } else {
        ALL[random.below(ALL.len())]
    }
}
