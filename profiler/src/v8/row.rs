//! Rows of whole numbers as V8 writes them, `1,22,333\n,4,...`, many bytes at once.
//!
//! In: a part of the text, and where in it a row begins. Out: the rows that are whole in it, and
//! how far they go. What is written otherwise (spaces, signs, an end) is left to the slower way in
//! `scan`. Pure.
//!
//! Source: Langdale and Lemire 2019, "Parsing gigabytes of JSON per second": places of all commas
//! first, as bits of a word, and then numbers of eight digits by three products.

/// Bytes looked at together: as many as a word has bits.
const BLOCK: usize = 64;

/// The same byte eight times is its multiple of this.
const EIGHT: u64 = 0x0101_0101_0101_0101;

/// Gathers the lowest bit of each of eight bytes in the uppermost byte.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// Calls `take` with each row, as wide as `row`, that is whole and followed by a comma, from a
/// place on where a row begins; stops at whatever is written otherwise. Moves the place behind
/// those rows.
///
/// # Errors
/// What `take` refuses, with the place behind that row.
pub(super) fn whole_rows(
    text: &[u8],
    place: &mut usize,
    row: &mut [u64],
    mut take: impl FnMut(&[u64]) -> Result<(), String>,
) -> Result<(), String> {
    let (mut at, mut begin, mut slot) = (*place, *place, 0);
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let Some(Ends { mut numbers, newlines, length }) = Ends::of(block) else { break };
        while numbers != 0 {
            let bit = numbers.trailing_zeros();
            numbers &= numbers - 1;
            let end = at + bit as usize;
            let Some(value) = number(text, begin, end) else { return Ok(()) };
            begin = end + 1 + (newlines >> bit & 1) as usize;
            row[slot] = value;
            slot += 1;
            if slot == row.len() {
                slot = 0;
                *place = begin;
                take(row)?;
            }
        }
        at += length;
    }
    Ok(())
}

/// Where in a block numbers end.
struct Ends {
    /// A bit for the byte behind each number: a comma, or a newline with a comma behind.
    numbers: u64,
    /// A bit for each newline.
    newlines: u64,
    /// Bytes of the block that this tells of: a newline at its end belongs to the next.
    length: usize,
}

impl Ends {
    /// None where there is anything but digits, commas, and newlines before commas.
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Option<Self> {
        let commas = bits(block, |byte| byte == b',');
        let newlines = bits(block, |byte| byte == b'\n');
        let others = block.iter().fold(0, |others, byte| {
            others | u8::from(!(byte.is_ascii_digit() | (*byte == b',') | (*byte == b'\n')))
        });
        let length = BLOCK - (newlines >> (BLOCK - 1)) as usize;
        let newlines = newlines & (u64::MAX >> 1);
        let ends_well = others == 0 && newlines << 1 & !commas == 0;
        let numbers = newlines | (commas & !(newlines << 1));
        ends_well.then_some(Self { numbers, newlines, length })
    }
}

/// A bit for each byte that is so.
#[inline]
fn bits(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is(*byte));
    }
    let (words, _) = flags.as_chunks::<8>();
    words.iter().enumerate().fold(0, |bits, (at, word)| {
        bits | (u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56) << (8 * at)
    })
}

/// The number whose digits stand between two places. None where there are no digits, more than
/// sixteen, or not eight bytes before their end.
#[inline]
fn number(text: &[u8], begin: usize, end: usize) -> Option<u64> {
    let digits = end - begin;
    let before = &text[..end];
    if digits.wrapping_sub(1) < 8 {
        return Some(eight_digits(before.last_chunk()?, digits));
    }
    let upper = digits.checked_sub(8).filter(|upper| (1..=8).contains(upper))?;
    let (before, lower) = before.split_last_chunk()?;
    Some(eight_digits(before.last_chunk()?, upper) * 100_000_000 + eight_digits(lower, 8))
}

/// What the last so many of eight bytes are worth, one to eight, which are digits: in steps of two,
/// four and eight.
#[inline]
fn eight_digits(bytes: &[u8; 8], digits: usize) -> u64 {
    // As if zeros stood before them, so that there are eight.
    let values = u64::from_le_bytes(*bytes) ^ (EIGHT * 0x30);
    let eight = values & (u64::MAX << (64 - 8 * digits));
    let pairs = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let upper = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let lower = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    upper.wrapping_add(lower) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of three that are taken from a place on, and the place behind them.
    fn taken(text: &str, mut place: usize) -> (Vec<u64>, usize) {
        let mut rows = Vec::new();
        let whole = whole_rows(text.as_bytes(), &mut place, &mut [0; 3], |row| {
            rows.extend_from_slice(row);
            Ok(())
        });
        whole.expect("all rows are taken");
        (rows, place)
    }

    #[test]
    fn rows_are_taken_up_to_what_is_written_otherwise() {
        let room = "7,".repeat(BLOCK);
        let rows = "1,22,333\n,4444444,55555555,666666666\n,";
        let numbers = [1, 22, 333, 4_444_444, 55_555_555, 666_666_666];
        // Wherever in a block it stands; without eight bytes before it the first is not taken.
        for before in 0..2 * BLOCK {
            let text = format!("{:>before$}{rows}{room}", "");
            let (found, place) = taken(&text, before);
            match before {
                0..7 => assert_eq!((found, place), (vec![], before)),
                _ => {
                    assert_eq!(found[..6], numbers, "{before}");
                    assert!(found[6..].iter().all(|number| *number == 7) && found.len() > 30);
                    assert_eq!(place, before + rows.len() + (found.len() - 6) * 2);
                }
            }
            let others =
                ["1, 2,3,", "1,-2,3,", ",1,2,", "1,,2,", "1,2\n3,", "\n,1,2,", "1\n\n,2,3,", "1]"];
            for other in others.into_iter().chain(["12345678901234567,1,", "1,2,3\u{660},"]) {
                let text = format!("{:>before$}{rows}{other}{room}", "");
                let (found, place) = taken(&text, before);
                // What stands in one block with it may be left out too.
                let known = [0, 10, rows.len()].iter().position(|length| before + length == place);
                assert_eq!(found, numbers[..known.unwrap_or(9) * 3], "{before}: {other}");
            }
        }
    }

    #[test]
    fn what_is_refused_is_told_with_its_place() {
        let text = "0,0,0,".repeat(BLOCK);
        let mut place = 12;
        let refused = whole_rows(text.as_bytes(), &mut place, &mut [0; 3], |_| Err("no".into()));
        assert_eq!((refused, place), (Err("no".to_owned()), 18));
    }
}
