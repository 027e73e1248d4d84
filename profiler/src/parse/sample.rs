//! One sample of a `profile.proto`: a stack, its values, its labels. In: the bytes of the message.
//! Out: lists that are used again for the next sample, since a profile has thousands. What the
//! numbers mean is left to `pprof`. Pure.

use super::STACK_MAX;
use crate::hash::Quick;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::collections::HashMap;

/// Columns of a profile; writers have up to four.
pub(super) const COLUMNS_MAX: usize = 64;

/// Labels of one sample: writers have a handful.
const LABELS_MAX: usize = 1_024;

/// A sample, taken apart.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Indices of locations, the allocating end first.
    pub(super) locations: Vec<u32>,
    /// Some of them are none that the profile has.
    pub(super) strange: bool,
    /// One value for each column.
    pub(super) values: Vec<i64>,
    /// Labels that are numbers: the key's string, and the number.
    pub(super) labels: Vec<(i64, i64)>,
}

impl Sample {
    /// Reads the message in place of the last one; `ids` are those of the locations.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub(super) fn read(&mut self, mut rest: &[u8], ids: &Ids) -> Result<(), DecodeError> {
        self.locations.clear();
        self.strange = false;
        self.values.clear();
        self.labels.clear();
        while !rest.is_empty() {
            let (tag, wire) = decode_key(&mut rest)?;
            match (tag, wire) {
                (1, WireType::Varint) => {
                    check_room(self.locations.len() + 1, STACK_MAX, "frames of a stack")?;
                    let place = ids.find(decode_varint(&mut rest)?);
                    self.strange |= place.is_none();
                    self.locations.push(place.unwrap_or(0));
                }
                (2, WireType::Varint) => {
                    check_room(self.values.len() + 1, COLUMNS_MAX, "values")?;
                    self.values.push(decode_varint(&mut rest)?.cast_signed());
                }
                (1, WireType::LengthDelimited) => {
                    let field = bytes(&mut rest)?;
                    let count = count(field);
                    let room = self.locations.len() + count;
                    check_room(room, STACK_MAX, "frames of a stack")?;
                    self.stack(field, count, ids)?;
                }
                (2, WireType::LengthDelimited) => {
                    let field = bytes(&mut rest)?;
                    check_room(self.values.len() + count(field), COLUMNS_MAX, "values")?;
                    packed(field, |value| self.values.push(value.cast_signed()))?;
                }
                (3, WireType::LengthDelimited) => {
                    check_room(self.labels.len() + 1, LABELS_MAX, "labels")?;
                    self.labels.push(label(bytes(&mut rest)?)?);
                }
                (1..=3, _) => return Err(wrong(&format!("field {tag} of a sample is {wire:?}"))),
                _ => skip_field(wire, tag, &mut rest, DecodeContext::default())?,
            }
        }
        Ok(())
    }
}

impl Sample {
    /// Packed identifiers of locations, `count` of them. They are most of what a profile has, so
    /// that the common case, identifiers that are counted, has a loop of its own.
    fn stack(&mut self, mut field: &[u8], count: usize, ids: &Ids) -> Result<(), DecodeError> {
        let Self { locations, strange, .. } = self;
        let Ids::Counted(known) = ids else {
            return packed(field, |id| {
                let place = ids.find(id);
                *strange |= place.is_none();
                locations.push(place.unwrap_or(0));
            });
        };
        let begin = locations.len();
        locations.resize(begin + count, 0);
        let slots = &mut locations[begin..];
        let (mut at, mut largest) = (0, 0);
        let mut place = |id: u64| {
            let place = id.wrapping_sub(1);
            largest = place.max(largest);
            place as u32
        };
        while at < slots.len() {
            let four = field.first_chunk().and_then(four_of_two);
            if let (Some(four), Some(some)) = (four, slots[at..].first_chunk_mut()) {
                *some = four.map(&mut place);
                (at, field) = (at + 4, &field[8..]);
            } else {
                slots[at] = place(number(&mut field)?);
                at += 1;
            }
        }
        *strange |= count > 0 && largest >= *known;
        // What is left is the begin of a number without its end.
        if field.is_empty() { Ok(()) } else { number(&mut field).map(drop) }
    }
}

/// Identifier to index. Writers count from 1, so most files need no table.
#[derive(Debug)]
pub(super) enum Ids {
    /// The first is 1, and so on to this one.
    Counted(u64),
    /// Any others.
    Table(HashMap<u64, u32, Quick>),
}

impl Ids {
    /// Of identifiers in the order of their indices.
    pub(super) fn of(ids: impl ExactSizeIterator<Item = u64> + Clone) -> Self {
        if ids.clone().zip(1..).all(|(id, expected)| id == expected) {
            return Self::Counted(ids.len() as u64);
        }
        Self::Table(ids.zip(0..).collect())
    }

    /// The index of an identifier, if there is one.
    pub(super) fn find(&self, id: u64) -> Option<u32> {
        match self {
            Self::Counted(count) => (1..=*count).contains(&id).then(|| (id - 1) as u32),
            Self::Table(table) => table.get(&id).copied(),
        }
    }
}

/// A list of `count` things is not too long.
fn check_room(count: usize, limit: usize, what: &str) -> Result<(), DecodeError> {
    if count > limit { Err(wrong(&format!("more than {limit} {what}"))) } else { Ok(()) }
}

/// How many packed numbers there are: each has one last byte.
fn count(field: &[u8]) -> usize {
    field.iter().filter(|byte| **byte < 0x80).count()
}

/// A field that says its length.
pub(super) fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX);
    let (field, behind) =
        rest.split_at_checked(length).ok_or_else(|| wrong("it ends inside one of its fields"))?;
    *rest = behind;
    Ok(field)
}

/// Numbers one behind the other.
fn packed(mut field: &[u8], mut push: impl FnMut(u64)) -> Result<(), DecodeError> {
    while !field.is_empty() {
        push(number(&mut field)?);
    }
    Ok(())
}

/// A number. Most are of one or two bytes: told without a call.
#[inline]
fn number(field: &mut &[u8]) -> Result<u64, DecodeError> {
    match **field {
        [first, ref behind @ ..] if first < 0x80 => {
            *field = behind;
            Ok(u64::from(first))
        }
        [first, second, ref behind @ ..] if second < 0x80 => {
            *field = behind;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => decode_varint(field),
    }
}

/// Four numbers of two bytes each, where the next eight bytes are that.
#[inline]
fn four_of_two(bytes: &[u8; 8]) -> Option<[u64; 4]> {
    let word = u64::from_le_bytes(*bytes);
    if word & 0x8080_8080_8080_8080 != 0x0080_0080_0080_0080 {
        return None;
    }
    let four = (word & 0x007f_007f_007f_007f) | ((word >> 1) & 0x3f80_3f80_3f80_3f80);
    Some([0, 16, 32, 48].map(|bits| (four >> bits) & 0xffff))
}

/// Key and number of a label; the number is 0 in a label that is text.
fn label(mut rest: &[u8]) -> Result<(i64, i64), DecodeError> {
    let (mut key, mut number) = (0, 0);
    while !rest.is_empty() {
        match decode_key(&mut rest)? {
            (1, WireType::Varint) => key = decode_varint(&mut rest)?.cast_signed(),
            (3, WireType::Varint) => number = decode_varint(&mut rest)?.cast_signed(),
            (tag, wire) => skip_field(wire, tag, &mut rest, DecodeContext::default())?,
        }
    }
    Ok((key, number))
}

/// An error in words of our own.
pub(super) fn wrong(text: &str) -> DecodeError {
    #[expect(deprecated, reason = "prost has no other way to say what is wrong in one's own words")]
    DecodeError::new(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Ids, Sample};

    #[test]
    fn reads_packed_and_single_numbers_alike() {
        let cases: [&[u8]; 3] = [
            // Packed; a location of three bytes; a label with a unit that is passed over.
            &[10, 5, 1, 0x80, 0x80, 4, 2, 18, 2, 7, 8, 26, 6, 8, 3, 24, 9, 32, 1],
            // One by one, and mixed with a field from the future.
            &[8, 1, 8, 0x80, 0x80, 4, 72, 5, 8, 2, 16, 7, 16, 8, 26, 4, 8, 3, 24, 9],
            // In parts.
            &[10, 1, 1, 10, 4, 0x80, 0x80, 4, 2, 18, 1, 7, 16, 8, 26, 4, 24, 9, 8, 3],
        ];
        let mut sample = Sample::default();
        let table = Ids::of([2, 9, 0x1_0000, 1].into_iter());
        for (ids, expected) in [(Ids::Counted(0x1_0000), [0, 0xffff, 1]), (table, [3, 2, 0])] {
            for case in cases {
                sample.read(case, &ids).expect("a sample");
                assert_eq!((&sample.locations[..], sample.strange), (&expected[..], false));
                assert_eq!(sample.values, [7, 8], "{case:?}");
                assert_eq!(sample.labels, [(3, 9)], "{case:?}");
            }
        }
    }

    #[test]
    fn numbers_of_any_length_come_out_whatever_stands_beside_them() {
        let values = [1_u64, 127, 128, 16_383, 300, 129, 9_000, 16_384, 2_097_152, 5];
        let bytes = |value: u64| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            bytes
        };
        for turn in 0..values.len() {
            let (before, after) = values.split_at(turn);
            let turned: Vec<u64> = [after, before].concat();
            let packed: Vec<u8> = turned.iter().flat_map(|value| bytes(*value)).collect();
            let case: Vec<u8> = [&[10, packed.len() as u8], packed.as_slice()].concat();
            let mut sample = Sample::default();
            sample.read(&case, &Ids::Counted(2_097_152)).expect("a sample");
            let expected: Vec<u32> = turned.iter().map(|value| *value as u32 - 1).collect();
            assert_eq!((sample.locations, sample.strange), (expected, false));
            let cut: Vec<u8> = [&[10, packed.len() as u8 + 1], &packed[..], &[0x80]].concat();
            assert!(Sample::default().read(&cut, &Ids::Counted(9)).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn locations_that_are_not_there_are_told() {
        for ids in [Ids::Counted(3), Ids::of([3, 1, 2].into_iter())] {
            for (id, strange) in [(0, true), (1, false), (3, false), (4, true), (0x7f, true)] {
                let mut sample = Sample::default();
                for case in [&[10, 2, 2, id][..], &[8, 2, 8, id], &[8, id, 10, 1, 2]] {
                    sample.read(case, &ids).expect("a sample");
                    assert_eq!((sample.locations.len(), sample.strange), (2, strange), "{case:?}");
                }
            }
        }
    }

    #[test]
    fn a_broken_sample_is_an_error() {
        let cases: [&[u8]; 5] =
            [&[10, 9, 1], &[10, 1, 0x80], &[18], &[9, 0, 0, 0, 0, 0, 0, 0, 0], &[26, 2, 8, 0xff]];
        for case in cases {
            assert!(Sample::default().read(case, &Ids::Counted(9)).is_err(), "{case:?}");
        }
    }
}
