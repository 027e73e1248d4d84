//! Pictures: how large they are, and small ones of them.
//! In: a file of a picture. Out: its size, when it is not larger than [`PIXELS`]; a PNG of at most
//! [`SMALL`] pixels a side, turned as the camera was held.
//! What a head promises bounds what is unpacked, whatever the file holds: eight bytes for each
//! pixel at most, and as many while unpacking.
//! Leaves to others: when, how often, and where they lie (`thumbs`).

use super::sniff::Kind;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image_webp::WebPDecoder;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_png::PngDecoder;

/// Pixels of a picture: more than most cameras of phones make, and 128 MiB at most when unpacked.
pub(crate) const PIXELS: u64 = 16 << 20;

/// Pixels of one side.
const SIDE: u32 = 16_384;

/// Pixels of a small picture's longer side.
const SMALL: usize = 256;

/// Passes of a progressive JPEG; each costs a walk over all pixels.
const SCANS: usize = 32;

const PNG_SIGN: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Parts of a PNG that pixels are made of. Others may be packed, and unpack to anything.
const PNG_PARTS: [&[u8; 4]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];

/// What is wrong with a picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    #[error("the picture has {width} times {height} pixels, at most {PIXELS} are taken")]
    TooLarge { width: u32, height: u32 },
    #[error("the picture cannot be read: {0}")]
    Broken(String),
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
}

fn broken(error: impl std::fmt::Debug) -> PictureError {
    PictureError::Broken(format!("{error:?}").chars().take(100).collect())
}

/// The size of a picture, from its head alone.
pub(crate) fn measure<F: Read + Seek>(file: F, kind: Kind) -> Result<(u32, u32), PictureError> {
    let mut file = BufReader::new(file);
    let (width, height) = match kind {
        Kind::Png => {
            let mut head = [0; 24];
            file.read_exact(&mut head).map_err(broken)?;
            if &head[12..16] != b"IHDR" {
                return Err(broken("no head"));
            }
            (u32_be(&head[16..20]), u32_be(&head[20..24]))
        }
        Kind::Gif => {
            let mut head = [0; 10];
            file.read_exact(&mut head).map_err(broken)?;
            let side = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
            (side(6), side(8))
        }
        Kind::Jpeg => jpeg_size(&mut file)?,
        Kind::Webp => WebPDecoder::new(file).map_err(broken)?.dimensions(),
        _ => return Err(broken("not a picture")),
    };
    if width == 0 || height == 0 {
        return Err(broken("no pixels"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if width > SIDE || height > SIDE || pixels > PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    Ok((width, height))
}

fn u32_be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
}

/// Walks over the segments of a JPEG to the one that says how large it is (ITU T.81, B.2.2).
fn jpeg_size<F: Read + Seek>(file: &mut BufReader<F>) -> Result<(u32, u32), PictureError> {
    file.seek_relative(2)?;
    loop {
        let mut head = [0; 4];
        file.read_exact(&mut head).map_err(broken)?;
        let [sign, marker, high, low] = head;
        if sign != 0xff {
            return Err(broken("no marker"));
        }
        if marker == 0xff {
            // Any number of these may stand before a marker.
            file.seek_relative(-3)?;
            continue;
        }
        let length = u16::from_be_bytes([high, low]);
        // Start of frame: all but the three markers among them that are tables.
        if (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker) {
            let mut frame = [0; 5];
            file.read_exact(&mut frame).map_err(broken)?;
            return Ok((u32_be(&frame[3..5]), u32_be(&frame[1..3])));
        }
        if length < 2 {
            return Err(broken("no segment"));
        }
        file.seek_relative(i64::from(length) - 2)?;
    }
}

/// Pixels of a picture, of one to four bytes each: grey, or red, green and blue; and, when there is
/// one more, how opaque.
struct Pixels {
    width: usize,
    height: usize,
    each: usize,
    bytes: Vec<u8>,
}

/// A small picture, as a PNG.
pub(crate) fn make_small<F: Read + Seek>(mut file: F, kind: Kind) -> Result<Vec<u8>, PictureError> {
    let (width, height) = measure(&mut file, kind)?;
    file.seek(SeekFrom::Start(0))?;
    let size = (width as usize, height as usize);
    let (small, turn) = match kind {
        Kind::Png => (shrink(&png(file, size)?), 1),
        Kind::Jpeg => jpeg(file, size)?,
        Kind::Webp => (shrink(&webp(file, size)?), 1),
        _ => return Err(broken("no small one is made of these")),
    };
    Ok(encode(&turned(small, turn))?)
}

/// The picture, when there are as many bytes as it needs.
fn pixels((width, height): (usize, usize), bytes: Vec<u8>) -> Result<Pixels, PictureError> {
    let count = width * height;
    let each = bytes.len() / count;
    if bytes.len() != count * each || !(1..=4).contains(&each) {
        return Err(broken("pixels are missing"));
    }
    Ok(Pixels { width, height, each, bytes })
}

fn png<F: Read>(file: F, size: (usize, usize)) -> Result<Pixels, PictureError> {
    let file = essential(file)?;
    let options = DecoderOptions::default()
        .png_set_strip_to_8bit(true)
        .png_set_decode_animated(false)
        .set_max_width(size.0)
        .set_max_height(size.1);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(&file), options);
    let bytes = decoder.decode_raw().map_err(broken)?;
    pixels(size, bytes)
}

/// A PNG without all that no pixel is made of.
fn essential<F: Read>(file: F) -> Result<Vec<u8>, PictureError> {
    let mut file = BufReader::new(file);
    let mut sign = [0; 8];
    file.read_exact(&mut sign).map_err(broken)?;
    let mut out = PNG_SIGN.to_vec();
    loop {
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(broken)?;
        // With its sum behind it.
        let length = u64::from(u32_be(&head[..4])) + 4;
        let is_wanted = PNG_PARTS.iter().any(|part| part[..] == head[4..8]);
        let mut part = (&mut file).take(length);
        let read = if is_wanted {
            out.extend_from_slice(&head);
            part.read_to_end(&mut out)? as u64
        } else {
            io::copy(&mut part, &mut io::sink())?
        };
        if read != length {
            return Err(broken("a part is cut"));
        }
        if &head[4..8] == b"IEND" {
            return Ok(out);
        }
    }
}

/// The small picture, and how it is to be turned.
fn jpeg<F: Read>(mut file: F, size: (usize, usize)) -> Result<(Pixels, u16), PictureError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .jpeg_set_max_scans(SCANS)
        .set_max_width(size.0)
        .set_max_height(size.1);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
    let decoded = decoder.decode().map_err(broken)?;
    let turn = decoder.exif().and_then(|exif| orientation(exif)).unwrap_or(1);
    Ok((shrink(&pixels(size, decoded)?), turn))
}

fn webp<F: Read + Seek>(file: F, size: (usize, usize)) -> Result<Pixels, PictureError> {
    let mut decoder = WebPDecoder::new(BufReader::new(file)).map_err(broken)?;
    let most = size.0 * size.1 * 4;
    decoder.set_memory_limit(most);
    let length = decoder.output_buffer_size().filter(|length| *length <= most);
    let mut bytes = vec![0; length.ok_or_else(|| broken("more pixels than it says"))?];
    decoder.read_image(&mut bytes).map_err(broken)?;
    pixels(size, bytes)
}

/// The tag of Exif that says how the camera was held (Exif 2.3, section 4.6.4).
fn orientation(exif: &[u8]) -> Option<u16> {
    let is_little = exif.starts_with(b"II");
    let number = |at: usize, bytes: usize| -> Option<u32> {
        let part = exif.get(at..at.checked_add(bytes)?)?;
        let little = part.iter().rev().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        Some(if is_little { little } else { u32_be(part) })
    };
    let list = number(4, 4)? as usize;
    let count = number(list, 2)? as usize;
    let entry = (0..count).map(|n| list.saturating_add(2 + 12 * n));
    let found = entry.into_iter().find(|at| number(*at, 2) == Some(0x0112))?;
    u16::try_from(number(found + 8, 2)?).ok().filter(|turn| (1..=8).contains(turn))
}

/// Each pixel of the small one is the mean of those of its place, by how opaque they are.
fn shrink(large: &Pixels) -> Pixels {
    let longer = large.width.max(large.height).max(1);
    let scale = |side: usize| (side * SMALL).div_ceil(longer).clamp(1, side.max(1));
    let (width, height) = if longer <= SMALL {
        (large.width, large.height)
    } else {
        (scale(large.width), scale(large.height))
    };
    let (red, green, blue, opacity) = match large.each {
        4 => (0, 1, 2, Some(3)),
        3 => (0, 1, 2, None),
        2 => (0, 0, 0, Some(1)),
        _ => (0, 0, 0, None),
    };
    let mut bytes = Vec::with_capacity(width * height * 4);
    for y in 0..height {
        let rows = y * large.height / height..((y + 1) * large.height / height);
        for x in 0..width {
            let columns = x * large.width / width..((x + 1) * large.width / width);
            let (mut sums, mut opaque, mut count) = ([0_u64; 3], 0_u64, 0_u64);
            for row in rows.clone() {
                let begin = (row * large.width + columns.start) * large.each;
                let end = (row * large.width + columns.end) * large.each;
                for pixel in large.bytes[begin..end].chunks_exact(large.each) {
                    let alpha = opacity.map_or(u64::from(u8::MAX), |at| u64::from(pixel[at]));
                    sums[0] += u64::from(pixel[red]) * alpha;
                    sums[1] += u64::from(pixel[green]) * alpha;
                    sums[2] += u64::from(pixel[blue]) * alpha;
                    opaque += alpha;
                    count += 1;
                }
            }
            let mean = |sum: u64, by: u64| u8::try_from(sum / by.max(1)).unwrap_or(u8::MAX);
            bytes.extend(sums.map(|sum| mean(sum, opaque)));
            bytes.push(mean(opaque, count));
        }
    }
    Pixels { width, height, each: 4, bytes }
}

/// As it was seen when the picture was taken; of four bytes for each pixel.
fn turned(picture: Pixels, turn: u16) -> Pixels {
    let (width, height) = (picture.width, picture.height);
    let is_tall = turn >= 5;
    let (across, down) = if is_tall { (height, width) } else { (width, height) };
    let mut bytes = Vec::with_capacity(picture.bytes.len());
    for y in 0..down {
        for x in 0..across {
            let (from_x, from_y) = match turn {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                8 => (width - 1 - y, x),
                _ => (x, y),
            };
            let at = (from_y * width + from_x) * 4;
            bytes.extend_from_slice(&picture.bytes[at..at + 4]);
        }
    }
    Pixels { width: across, height: down, each: 4, bytes }
}

/// A PNG of four bytes for each pixel (PNG, second edition, section 11.2).
fn encode(picture: &Pixels) -> io::Result<Vec<u8>> {
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::default());
    let row_bytes = picture.width * 4;
    for (n, row) in picture.bytes.chunks_exact(row_bytes).enumerate() {
        // Each byte less the one above it: what changes little packs well.
        let above = n.checked_sub(1).map(|n| &picture.bytes[n * row_bytes..(n + 1) * row_bytes]);
        rows.write_all(&[if above.is_some() { 2 } else { 0 }])?;
        let filtered: Vec<u8> = match above {
            Some(above) => row.iter().zip(above).map(|(own, up)| own.wrapping_sub(*up)).collect(),
            None => row.to_vec(),
        };
        rows.write_all(&filtered)?;
    }
    let mut out = PNG_SIGN.to_vec();
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX).to_be_bytes();
    let (width, height) = (side(picture.width), side(picture.height));
    let head = [&width[..], &height, &[8, 6, 0, 0, 0]].concat();
    for (kind, content) in [(b"IHDR", head), (b"IDAT", rows.finish()?), (b"IEND", Vec::new())] {
        out.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        let begin = out.len();
        out.extend_from_slice(kind);
        out.extend_from_slice(&content);
        let mut sum = flate2::Crc::new();
        sum.update(&out[begin..]);
        out.extend(sum.sum().to_be_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn picture(width: usize, height: usize) -> Pixels {
        let pixel = |n: usize| [(n % width) as u8, (n / width) as u8, 7, 255];
        let bytes = (0..width * height).flat_map(pixel).collect();
        Pixels { width, height, each: 4, bytes }
    }

    #[test]
    fn a_small_picture_keeps_its_shape() {
        for (width, height, small) in
            [(3, 2, (3, 2)), (512, 256, (256, 128)), (300, 900, (86, 256)), (2_000, 1, (256, 1))]
        {
            let file = encode(&picture(width, height)).unwrap();
            assert_eq!(
                measure(Cursor::new(&file), Kind::Png).unwrap(),
                (width as u32, height as u32)
            );
            let made = make_small(Cursor::new(&file), Kind::Png).unwrap();
            let size = measure(Cursor::new(&made), Kind::Png).unwrap();
            assert_eq!(size, small, "{width} {height}");
        }
        let file = encode(&picture(3, 2)).unwrap();
        let same = png(&file[..], (3, 2)).unwrap();
        assert_eq!(same.bytes, picture(3, 2).bytes);
    }

    #[test]
    fn a_picture_is_turned_as_it_was_seen() {
        for (turn, size, first) in [
            (1, (3, 2), [0, 0]),
            (2, (3, 2), [2, 0]),
            (3, (3, 2), [2, 1]),
            (4, (3, 2), [0, 1]),
            (5, (2, 3), [0, 0]),
            (6, (2, 3), [0, 1]),
            (7, (2, 3), [2, 1]),
            (8, (2, 3), [2, 0]),
        ] {
            let seen = turned(picture(3, 2), turn);
            assert_eq!((seen.width, seen.height), size, "{turn}");
            assert_eq!(seen.bytes[..2], first, "{turn}");
        }
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!((orientation(little), orientation(big)), (Some(6), Some(8)));
        for cut in 0..little.len() {
            orientation(&little[..cut]);
        }
    }

    /// A start of frame that says how large a grey picture is (ITU T.81, B.2.2).
    fn frame(marker: u8, side: u16) -> Vec<u8> {
        let [high, low] = side.to_be_bytes();
        vec![0xff, marker, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0]
    }

    #[test]
    fn who_measures_and_who_unpacks_agree() {
        // A decoder skips a nought before a marker; whoever walks by lengths finds another head.
        let large = frame(0xc2, 300);
        let mut liar = [&b"\xff\xd8\xff\x00"[..], &large].concat();
        liar.resize(4 + 0xffc2, 0);
        liar.extend(frame(0xc0, 8));
        assert_eq!(measure(Cursor::new(&liar), Kind::Jpeg).unwrap(), (8, 8));
        let error = make_small(Cursor::new(&liar), Kind::Jpeg).unwrap_err().to_string();
        assert!(error.contains("greater than width limit 8"), "{error}");
    }

    #[test]
    fn what_promises_too_much_is_refused_before_it_is_unpacked() {
        let mut bomb = encode(&picture(4, 4)).unwrap();
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        let error = measure(Cursor::new(&bomb), Kind::Png).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { width: 60_000, .. }), "{error}");
        // A head that promises less than there is: the rest is not unpacked.
        let zeros = Pixels { width: 2_000, height: 2_000, each: 4, bytes: vec![0; 16_000_000] };
        let mut liar = encode(&zeros).unwrap();
        liar[16..24].copy_from_slice(&[0, 0, 0, 4, 0, 0, 0, 4]);
        let mut sum = flate2::Crc::new();
        sum.update(&liar[12..29]);
        liar[29..33].copy_from_slice(&sum.sum().to_be_bytes());
        assert!(make_small(Cursor::new(&liar), Kind::Png).is_err());
        for kind in [Kind::Png, Kind::Jpeg, Kind::Webp, Kind::Gif, Kind::Text] {
            for text in [&b""[..], b"\x89PNG\r\n\x1a\nxxxxIHDR", b"\xff\xd8\xff\xff\xff\xff"] {
                assert!(measure(Cursor::new(text), kind).is_err(), "{kind:?} {text:?}");
            }
        }
    }
}
