//! Canonical forms of types that are known by their layout: what their equality looks at, and nothing else.
//!
//! Each is a function of the value's payload, the bytes after a varlena's length word. The equalities are those of the
//! sources that define the types; a payload that is no value of its type has no form.

use trickle_operators::value::canonical::canonical;
use trickle_operators::value::Kind;

/// The form of one type's payloads.
pub(super) type Write = fn(&[u8], &mut Vec<u8>) -> Option<()>;

/// Types of extensions by their extension and the C function of their equality, in whatever schema they are.
const EXTENSIONS: &[(&str, &str, Write)] = &[
    ("cube", "cube_eq", cube),
    ("hstore", "hstore_eq", hstore),
    ("ltree", "ltree_eq", ltree),
    ("seg", "seg_same", seg),
    ("vector", "vector_eq", vector),
    ("vector", "halfvec_eq", halfvec),
    ("vector", "sparsevec_eq", sparsevec),
];

/// The same of types that come with the server, by the C function of their equality.
const BUILTIN: &[(&str, Write)] = &[("tsvector_eq", tsvector), ("tsquery_eq", tsquery)];

pub(super) fn of_extension(extension: &str, equality: &str) -> Option<Write> {
    EXTENSIONS.iter().find(|known| known.0 == extension && known.1 == equality).map(|known| known.2)
}

pub(super) fn of_server(equality: &str) -> Option<Write> {
    BUILTIN.iter().find(|known| known.0 == equality).map(|known| known.1)
}

/// The integers and floats of a payload, in the machine's byte order.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_ne_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(4)?.try_into().ok()?))
    }
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// -0 is 0, and NaNs are one.
fn float(kind: Kind, image: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&canonical(kind, image).ok()?);
    Some(())
}

/// A count, whose highest bit says that the layout is that of PostgreSQL 9.0 and later; for each key and each value, which
/// follow each other, where its text ends in what comes last and whether it is NULL.
fn hstore(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const NEW: u32 = 1 << 31;
    const NULL: u32 = 1 << 30;
    const END: u32 = (1 << 30) - 1;
    let mut reader = Reader(payload);
    let header = reader.u32()?;
    let entries = if header & NEW != 0 { 2 * (header & END) as usize } else { return None };
    let mut entries = Reader(reader.bytes(4 * entries)?);
    let texts = reader.0;
    let mut from = 0;
    while let Some(entry) = entries.u32() {
        let end = (entry & END) as usize;
        let null = entry & NULL != 0;
        out.push(u8::from(!null));
        text(texts.get(from..end)?, out);
        from = end;
    }
    Some(())
}

/// The number of labels, and each with its length, at multiples of eight bytes.
fn ltree(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let labels = Reader(payload).u16()?;
    let mut at = 4;
    for _ in 0..labels {
        let length = Reader(payload.get(at..)?).u16()? as usize;
        text(slice(payload, at + 2, length)?, out);
        at += (2 + length).next_multiple_of(8);
    }
    Some(())
}

/// The number of dimensions, whose highest bit says that the two corners are one; then the corners. They may be any two
/// that are opposite.
fn cube(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const POINT: u32 = 1 << 31;
    let header = Reader(payload).u32()?;
    let (dimensions, point) = ((header & !POINT) as usize, header & POINT != 0);
    let corner = |number: usize| slice(payload, 4 + number * 8 * dimensions, 8 * dimensions);
    let (first, second) = (corner(0)?, if point { corner(0)? } else { corner(1)? });
    for sides in first.chunks_exact(8).zip(second.chunks_exact(8)) {
        let number = |side: &[u8]| Some(f64::from_ne_bytes(side.try_into().ok()?));
        let (one, other) = (number(sides.0)?, number(sides.1)?);
        for side in [if one < other { one } else { other }, if one > other { one } else { other }] {
            float(Kind::Float8, &side.to_ne_bytes(), out)?;
        }
    }
    Some(())
}

/// Two bounds; of each the number of its digits; of each how it is meant.
fn seg(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader(payload);
    for _ in 0..2 {
        float(Kind::Float4, reader.bytes(4)?, out)?;
    }
    out.extend_from_slice(reader.bytes(4)?);
    Some(())
}

fn vector(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let dimensions = Reader(payload).u16()? as usize;
    slice(payload, 4, 4 * dimensions)?.chunks_exact(4).try_for_each(|element| float(Kind::Float4, element, out))
}

/// As [`vector`], of two bytes each.
fn halfvec(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const NEGATIVE_ZERO: u16 = 1 << 15;
    let dimensions = Reader(payload).u16()? as usize;
    let mut elements = Reader(slice(payload, 4, 2 * dimensions)?);
    while let Some(element) = elements.u16() {
        let element = if element == NEGATIVE_ZERO { 0 } else { element };
        out.extend_from_slice(&element.to_le_bytes());
    }
    Some(())
}

/// The number of dimensions, how many elements are not zero, where they are, and what they are, which comes last.
fn sparsevec(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader(payload);
    let (dimensions, elements, _) = (reader.u32()?, reader.u32()? as usize, reader.u32()?);
    out.extend_from_slice(&dimensions.to_le_bytes());
    out.extend_from_slice(reader.bytes(4 * elements)?);
    let values = reader.0.get(reader.0.len().checked_sub(4 * elements)?..)?;
    values.chunks_exact(4).try_for_each(|element| float(Kind::Float4, element, out))
}

/// The number of lexemes; of each a word of bits: whether it has positions, its length, where it is in what comes last.
/// Positions follow the lexeme, from the next even offset on. The length of the whole is part of the equality.
fn tsvector(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader(payload);
    let lexemes = reader.u32()? as usize;
    let mut entries = Reader(reader.bytes(4 * lexemes)?);
    let texts = reader.0;
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    while let Some(entry) = entries.u32() {
        let (positions, length, at) = (entry & 1 != 0, (entry >> 1 & 0x7ff) as usize, (entry >> 12) as usize);
        out.push(u8::from(positions));
        text(slice(texts, at, length)?, out);
        if positions {
            let at = (at + length).next_multiple_of(2);
            let count = Reader(texts.get(at..)?).u16()? as usize;
            text(slice(texts, at + 2, 2 * count)?, out);
        }
    }
    Some(())
}

/// The number of nodes, and these, of twelve bytes each, from the root down; the texts of the leaves come last. Weights and
/// whether a text is a prefix are no part of the equality, the length of the whole is.
fn tsquery(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const OPERAND: u8 = 1;
    const PHRASE: u8 = 4;
    let mut reader = Reader(payload);
    let nodes = reader.u32()? as usize;
    let nodes = reader.bytes(12 * nodes)?;
    let texts = reader.0;
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    for node in nodes.chunks_exact(12) {
        let (kind, operator) = (node[0], node[1]);
        out.push(kind);
        if kind == OPERAND {
            let place = u32::from_ne_bytes(node[8..12].try_into().ok()?);
            out.extend_from_slice(&node[4..8]);
            text(slice(texts, (place >> 12) as usize, (place & 0xfff) as usize)?, out);
        } else {
            out.push(operator);
            if operator == PHRASE {
                out.extend_from_slice(&node[2..4]);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(write: Write, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write(payload, &mut out).map(|()| out)
    }

    #[test]
    fn what_is_cut_off_has_no_form() {
        let whole = [&1u32.to_ne_bytes()[..], &1.5f64.to_ne_bytes(), &0.5f64.to_ne_bytes()].concat();
        assert!(form(cube, &whole).is_some());
        assert_eq!(form(cube, &whole[..whole.len() - 1]), None);
        for (_, _, write) in EXTENSIONS {
            assert_eq!(form(*write, &[255; 3]), None);
        }
        for (_, write) in BUILTIN {
            assert_eq!(form(*write, &[255; 7]), None);
        }
    }

    #[test]
    fn opposite_corners_are_one_cube() {
        let cube_of = |point: u32, sides: &[f64]| {
            let sides: Vec<u8> = sides.iter().flat_map(|side| side.to_ne_bytes()).collect();
            form(cube, &[&(1u32 | point << 31).to_ne_bytes()[..], &sides].concat())
        };
        assert_eq!(cube_of(0, &[2.0, 1.0]), cube_of(0, &[1.0, 2.0]));
        assert_eq!(cube_of(1, &[0.0]), cube_of(0, &[-0.0, 0.0]));
        assert_ne!(cube_of(1, &[1.0]), cube_of(0, &[1.0, 2.0]));
    }
}
