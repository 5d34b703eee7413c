//! The payload of a change row: changed rows, one after the other.
//!
//! A row is a LEB128 varint, its length twice and plus one if the row was taken away, then the packed row (see
//! `trickle_operators::value::row`) of the layout's columns.

use crate::pg::txn::Failure;
use trickle_operators::engine::api::Diff;
use trickle_operators::value::RowRef;

/// Appends a row.
pub fn push(payload: &mut Vec<u8>, row: RowRef<'_>, removed: bool) {
    let mut head = (row.bytes().len() << 1) | usize::from(removed);
    while head >= 0x80 {
        payload.push(head as u8 | 0x80);
        head >>= 7;
    }
    payload.push(head as u8);
    payload.extend_from_slice(row.bytes());
}

/// An upper bound of the bytes that `push` appends.
pub fn size(row: RowRef<'_>) -> usize {
    row.bytes().len() + 6
}

/// Calls `each` with every row and its multiplicity.
pub fn decode(mut payload: &[u8], each: &mut dyn FnMut(RowRef<'_>, Diff)) -> Result<(), Failure> {
    while !payload.is_empty() {
        let (row, removed, rest) =
            split(payload).ok_or_else(|| Failure::new(b"XX001", "a change row of the change buffer is damaged"))?;
        each(RowRef::new(row), if removed { -1 } else { 1 });
        payload = rest;
    }
    Ok(())
}

fn split(payload: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (mut head, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = *payload.get(at)?;
        at += 1;
        head |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let (row, rest) = payload[at..].split_at_checked(head >> 1)?;
    Some((row, head & 1 == 1, rest))
}
