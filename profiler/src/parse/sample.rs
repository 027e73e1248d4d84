//! One sample of a `profile.proto`: a stack, its values, its labels. In: the bytes of the message.
//! Out: lists that are used again for the next sample, since a profile has thousands. What the
//! numbers mean is left to `pprof`. Pure.

use super::STACK_MAX;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Columns of a profile; writers have up to four.
pub(super) const COLUMNS_MAX: usize = 64;

/// Labels of one sample: writers have a handful.
const LABELS_MAX: usize = 1_024;

/// A sample, taken apart.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Identifiers of locations, the allocating end first.
    pub(super) locations: Vec<u64>,
    /// One value for each column.
    pub(super) values: Vec<i64>,
    /// Labels that are numbers: the key's string, and the number.
    pub(super) labels: Vec<(i64, i64)>,
}

impl Sample {
    /// Reads the message in place of the last one.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub(super) fn read(&mut self, mut rest: &[u8]) -> Result<(), DecodeError> {
        self.locations.clear();
        self.values.clear();
        self.labels.clear();
        while !rest.is_empty() {
            let (tag, wire) = decode_key(&mut rest)?;
            match (tag, wire) {
                (1, WireType::Varint) => {
                    check_room(self.locations.len() + 1, STACK_MAX, "frames of a stack")?;
                    self.locations.push(decode_varint(&mut rest)?);
                }
                (2, WireType::Varint) => {
                    check_room(self.values.len() + 1, COLUMNS_MAX, "values")?;
                    self.values.push(decode_varint(&mut rest)?.cast_signed());
                }
                (1, WireType::LengthDelimited) => {
                    let field = bytes(&mut rest)?;
                    let count = self.locations.len() + count(field);
                    check_room(count, STACK_MAX, "frames of a stack")?;
                    packed(field, |id| self.locations.push(id))?;
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
    while let [first, rest @ ..] = field {
        // Most are identifiers of one or two bytes: told without a call.
        match rest {
            _ if *first < 0x80 => {
                push(u64::from(*first));
                field = rest;
            }
            [second, behind @ ..] if *second < 0x80 => {
                push(u64::from(*first & 0x7f) | u64::from(*second) << 7);
                field = behind;
            }
            _ => push(decode_varint(&mut field)?),
        }
    }
    Ok(())
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
    use super::Sample;

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
        for case in cases {
            sample.read(case).expect("a sample");
            assert_eq!(sample.locations, [1, 0x1_0000, 2], "{case:?}");
            assert_eq!(sample.values, [7, 8], "{case:?}");
            assert_eq!(sample.labels, [(3, 9)], "{case:?}");
        }
    }

    #[test]
    fn a_broken_sample_is_an_error() {
        let cases: [&[u8]; 5] =
            [&[10, 9, 1], &[10, 1, 0x80], &[18], &[9, 0, 0, 0, 0, 0, 0, 0, 0], &[26, 2, 8, 0xff]];
        for case in cases {
            assert!(Sample::default().read(case).is_err(), "{case:?}");
        }
    }
}
