//! The Huffman code of HPACK (RFC 7541, appendix B), decoded.
//!
//! In: bytes of a string literal. Out: its text. The code is canonical: within a length, codes
//! grow with their symbols, so that the lengths alone say all of it.

/// Bits of each byte's code. The end-of-string symbol has 30 ones.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// The codes, by length.
struct Code {
    /// The first code that is longer than this length, its bits at the top of the word.
    limits: [u32; LENGTH_MAX + 1],
    /// The first code of each length, its bits at the bottom.
    firsts: [u32; LENGTH_MAX + 1],
    /// Where its symbol stands in `symbols`.
    places: [u16; LENGTH_MAX + 1],
    /// Symbols in the order of their codes.
    symbols: [u8; 256],
}

const CODE: Code = code();

const fn code() -> Code {
    let mut code = Code {
        limits: [0; LENGTH_MAX + 1],
        firsts: [0; LENGTH_MAX + 1],
        places: [0; LENGTH_MAX + 1],
        symbols: [0; 256],
    };
    let (mut next, mut place, mut length) = (0_u32, 0_u16, 1_usize);
    while length <= LENGTH_MAX {
        next <<= 1;
        code.firsts[length] = next;
        code.places[length] = place;
        let mut symbol = 0_usize;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[place as usize] = symbol as u8;
                next += 1;
                place += 1;
            }
            symbol += 1;
        }
        code.limits[length] = next << (32 - length);
        length += 1;
    }
    code
}

/// Appends the text of a coded string; false when it is none.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let mut word = 0_u64;
    let mut bits = 0_usize;
    let mut rest = bytes.iter();
    loop {
        while bits <= 56
            && let Some(byte) = rest.next()
        {
            word |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        if bits == 0 {
            return true;
        }
        let top = (word >> 32) as u32;
        let mut length = LENGTH_MIN;
        while length <= LENGTH_MAX && top >= CODE.limits[length] {
            length += 1;
        }
        if length > bits || length > LENGTH_MAX {
            // What is left pads the last byte: fewer than eight ones (section 5.2). The symbol
            // for the end may not be written out.
            return bits < 8 && top >> (32 - bits) == (1 << bits) - 1;
        }
        let offset = (top >> (32 - length)) - CODE.firsts[length];
        out.push(CODE.symbols[CODE.places[length] as usize + offset as usize]);
        word <<= length;
        bits -= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From RFC 7541, appendix C.4 and C.6.
    #[test]
    fn what_the_rfc_gives_as_examples_is_read() {
        for (bytes, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (&[0x64, 0x0e, 0xff], "307"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ] {
            let mut out = Vec::new();
            assert!(decode(bytes, &mut out), "{text}");
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn bad_padding_is_refused() {
        // Zeros, a whole byte of ones, the end symbol, and a code cut short.
        for bytes in [&[0x08][..], &[0x64, 0x02, 0xff], &[0xff; 4], &[0xff, 0xfe]] {
            assert!(!decode(bytes, &mut Vec::new()), "{bytes:?}");
        }
    }

    /// Every byte, coded here by the canonical rule, comes back.
    #[test]
    fn every_byte_comes_back() {
        let (mut bits, mut count, mut coded) = (0_u64, 0_u32, Vec::new());
        for symbol in 0..=255_u8 {
            let length = LENGTHS[symbol as usize] as usize;
            let rank = (0..symbol).filter(|other| LENGTHS[*other as usize] as usize == length);
            let code = CODE.firsts[length] + rank.count() as u32;
            bits = bits << length | u64::from(code);
            count += length as u32;
            while count >= 8 {
                count -= 8;
                coded.push((bits >> count) as u8);
            }
            bits &= (1 << count) - 1;
        }
        if count > 0 {
            coded.push((bits << (8 - count)) as u8 | (0xff_u8 >> count));
        }
        let mut out = Vec::new();
        assert!(decode(&coded, &mut out));
        assert_eq!(out, (0..=255).collect::<Vec<u8>>());
    }
}
