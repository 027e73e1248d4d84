//! Bytes to profile: what is read, and what one line says of what cannot be.
//! In: good, cut and hostile files. Out: a profile, or an error with its cure; never a panic.
//! Files of real tools are made at test time, since they hold paths.

use crate::hostile;
use crate::writing::{Dice, Proto, bytes, gzip, number, varint};
use ebbtide_profiler::parse::{self, ParseError, unbias_factor};
use ebbtide_profiler::{Cell, Profile, SiteRules, Symbolizer, site};

fn small() -> Proto {
    let mut proto = Proto::heap(65_536);
    proto.mapping(1, (0x1000, 0x9000), 0x200, ("/srv/app", "AB01"));
    proto.location(1, 0x1234, &[]);
    proto.location(2, 0x2345, &[("app::serve", "/home/u/app/src/main.rs", 7)]);
    let labels = [("bytes", 512), ("inuse_samples", 3), ("alloc_samples", 5)];
    proto.sample(&[1, 2], &[640, 327_680, 384, 196_608], &labels);
    proto.comment("exe=/srv/app");
    proto.comment("pid=4711");
    proto
}

#[test]
fn a_profile_is_read_gzipped_and_plain() {
    let proto = small();
    for bytes in [proto.bytes(), proto.gzip()] {
        let profile = parse::read(&bytes).unwrap();
        assert_eq!(profile.interval_bytes, 65_536.0);
        assert_eq!(profile.exe.as_deref(), Some("/srv/app"));
        assert_eq!(profile.pid, Some(4711));
        let mapping = &profile.mappings[0];
        assert_eq!((mapping.start, mapping.end, mapping.file_offset), (0x1000, 0x9000, 0x200));
        assert_eq!(mapping.build_id, "ab01");
        let expected = Cell {
            live_bytes: 196_608.0,
            live_objects: Some(384.0),
            alloc_bytes: Some(327_680.0),
            alloc_objects: Some(640.0),
            live_samples: Some(3.0),
            alloc_samples: Some(5.0),
        };
        assert_eq!(profile.stacks[0].cell, expected);
        assert_eq!(profile.stacks[0].frames, [0, 1]);
        assert_eq!(profile.locations[1].frames[0].function, "app::serve");
        assert!(profile.locations[0].frames.is_empty() && profile.notes.is_empty());
    }
}

/// Go counts objects by one sample as 1 of 93,184 bytes and by two as 3 of 62,122 each, when they
/// have 49,152: its label tells which they are, and a container of another size apart.
#[test]
fn rows_of_go_are_told_apart_by_the_size_that_go_tells() {
    let stack = |size: u64, values: [i64; 4]| {
        let mut proto = Proto::heap(65_536);
        proto.location(1, 0x2345, &[("main.keep", "/home/u/app/main.go", 7)]);
        proto.sample(&[1], &values, &[("bytes", size)]);
        let profile = parse::read(&proto.bytes()).unwrap();
        let symbols = Symbolizer::new().resolve(&profile);
        let folded = site::fold(&profile, &symbols, &SiteRules::default());
        folded.sites[0].cells[0].stack
    };
    let one = stack(49_152, [1, 93_184, 1, 93_184]);
    assert_eq!(one, stack(49_152, [3, 186_366, 3, 186_366]));
    assert_ne!(one, stack(98_304, [3, 186_366, 3, 186_366]));
}

#[test]
fn columns_are_told_by_name() {
    // Columns, values, live bytes, live objects, allocated bytes.
    type Case = (&'static [&'static str], &'static [i64], (f64, Option<f64>), Option<f64>);
    let cases: &[Case] = &[
        // Go, and the probe.
        (
            &[
                "alloc_objects/count",
                "alloc_space/bytes",
                "inuse_objects/count",
                "inuse_space/bytes",
            ],
            &[9, 90, 4, 40],
            (40.0, Some(4.0)),
            Some(90.0),
        ),
        // Node's sampling profile.
        (&["objects/count", "space/bytes"], &[3, 30], (30.0, Some(3.0)), None),
        // A dump of jemalloc with one column.
        (&["inuse_space/bytes"], &[30], (30.0, None), None),
        // Another order.
        (
            &["inuse_space/bytes", "alloc_space/bytes", "inuse_objects/count"],
            &[1, 2, 3],
            (1.0, Some(3.0)),
            Some(2.0),
        ),
    ];
    for (columns, values, live, allocated) in cases {
        let mut proto = Proto::new(columns, 512);
        proto.location(1, 1, &[]);
        proto.sample(&[1], values, &[]);
        let profile = parse::read(&proto.bytes()).unwrap();
        let cell = profile.stacks[0].cell;
        assert_eq!((cell.live_bytes, cell.live_objects), *live, "{columns:?}");
        assert_eq!(cell.alloc_bytes, *allocated, "{columns:?}");
        assert_eq!(cell.live_samples, None, "{columns:?}");
    }
}

#[test]
fn identifiers_need_not_count_from_one() {
    let mut proto = Proto::heap(1);
    for id in [900, 17, u64::MAX] {
        proto.location(id, id, &[]);
    }
    proto.sample(&[u64::MAX, 900], &[1, 1, 1, 1], &[]);
    let profile = parse::read(&proto.bytes()).unwrap();
    assert_eq!(profile.stacks[0].frames, [2, 0]);
}

const HEAP_V2: &str = "heap_v2/65536
  t*: 4: 4096 [6: 6144]
  t1: 4: 4096 [6: 6144]
@ 0x401235 0x402346 0x7f0000001001
  t*: 4: 4096 [6: 6144]
  t1: 4: 4096 [6: 6144]
@ 0x402346
  t*: 0: 0 [1: 65536]

MAPPED_LIBRARIES:
00400000-00410000 r-xp 00001000 fe:00 17 /srv/my app
7f0000000000-7f0000010000 r-xp 00000000 fe:00 18 /usr/lib/libc.so.6
7f0000010000-7f0000020000 rw-p 00010000 fe:00 18 /usr/lib/libc.so.6
";

#[test]
fn heap_v2_is_unbiased_and_moved_into_the_call() {
    let profile = parse::read(HEAP_V2.as_bytes()).unwrap();
    assert_eq!(profile.interval_bytes, 65_536.0);
    assert_eq!(profile.exe.as_deref(), Some("/srv/my app"));
    let addresses: Vec<u64> = profile.locations.iter().map(|location| location.address).collect();
    assert_eq!(addresses, [0x40_1234, 0x40_2345, 0x7f00_0000_1000]);
    let mappings: Vec<_> = profile.locations.iter().map(|location| location.mapping).collect();
    assert_eq!(mappings, [Some(0), Some(0), Some(1)]);
    let factor = 1.0 / (1.0 - (-1024.0_f64 / 65_536.0).exp());
    let cell = profile.stacks[0].cell;
    assert!((cell.live_objects.unwrap() - 4.0 * factor).abs() < 1e-6);
    assert!((cell.live_bytes - 4096.0 * factor).abs() < 1e-3);
    assert!((cell.alloc_bytes.unwrap() - 6144.0 * factor).abs() < 1e-3);
    assert_eq!((cell.live_samples, cell.alloc_samples), (Some(4.0), Some(6.0)));
    // Nothing is live: nothing is estimated, and 0 / 0 is not computed.
    assert_eq!(profile.stacks[1].cell.live_bytes, 0.0);
    hostile::survives("heap_v2", HEAP_V2.as_bytes());
}

#[test]
fn without_accumulation_the_columns_are_missing_not_zero() {
    let text = HEAP_V2.replace("[6: 6144]", "[0: 0]").replace("[1: 65536]", "[0: 0]");
    let cell = parse::read(text.as_bytes()).unwrap().stacks[0].cell;
    assert_eq!((cell.alloc_bytes, cell.alloc_objects, cell.alloc_samples), (None, None, None));
}

#[test]
fn unbiasing_gives_back_what_sampling_took() {
    for interval in [4_096.0, 65_536.0, 524_288.0] {
        for size in [16.0, 64.0, 1_024.0, 65_536.0, 4_194_304.0_f64] {
            let seen = 1.0 - (-size / interval).exp();
            let error = unbias_factor(size, interval) * seen - 1.0;
            assert!(error.abs() < 1e-9, "{size} every {interval}: {error}");
        }
    }
    // Exact counting, and sizes that cannot be.
    for (size, interval) in [(64.0, 1.0), (0.0, 4_096.0), (f64::NAN, 4_096.0), (8.0, 0.0)] {
        assert_eq!(unbias_factor(size, interval), 1.0);
    }
}

/// One clear line: no panic, no second line, no final dot.
fn complaint(what: &str, bytes: &[u8]) -> String {
    let error = parse::read(bytes).err().unwrap_or_else(|| panic!("{what} was read"));
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "{what}: {text}");
    assert!(text.len() < 300, "{what}: {text}");
    text
}

#[test]
fn broken_input_gets_one_clear_line() {
    let changed = |change: &dyn Fn(&mut Proto)| {
        let mut proto = small();
        change(&mut proto);
        proto.bytes()
    };
    let endless = {
        let mut field = Vec::new();
        varint(2 << 3 | 2, &mut field);
        varint(u64::MAX >> 1, &mut field);
        field
    };
    let outside = {
        let (mut field, mut mapping) = (Vec::new(), Vec::new());
        number(5, 9_999, &mut mapping);
        bytes(3, &mapping, &mut field);
        field
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "empty"),
        ("empty gzip", gzip(b""), "empty"),
        ("text", b"hello there, snapshot".to_vec(), "unknown format"),
        ("binary", vec![0xff; 64], "unknown format"),
        ("cut gzip", small().gzip()[..40].to_vec(), "gzip"),
        ("an ELF file", b"\x7fELF\x02\x01\x01\0\0\0\0\0".to_vec(), "a program"),
        ("a length without end", changed(&|p| p.raw(&endless)), "ends inside a field"),
        ("a string that is not there", changed(&|p| p.raw(&outside)), "string 9999"),
        ("an unknown location", changed(&|p| p.sample(&[77], &[1, 1, 1, 1], &[])), "location"),
        ("too few values", changed(&|p| p.sample(&[1], &[1], &[])), "column"),
        ("a difference", changed(&|p| p.sample(&[1], &[1, 1, 1, -1], &[])), "below 0"),
        ("CPU", Proto::new(&["samples/count", "cpu/nanoseconds"], 0).bytes(), "not a heap profile"),
        ("allocations", Proto::new(&["alloc_space/bytes"], 1).bytes(), "not a heap profile"),
        ("no interval", b"heap_v2/x\n".to_vec(), "line 1"),
        ("interval 0", b"heap_v2/0\n".to_vec(), "line 1"),
        ("a bad address", b"heap_v2/1\n@ 0xzz\n".to_vec(), "line 2"),
        ("bad counts", b"heap_v2/1\n@ 0x1\n t*: 1: 2\n".to_vec(), "line 3"),
        ("cut off", HEAP_V2.as_bytes()[..90].to_vec(), "heap_v2"),
        ("no text", b"heap_v2/1\n\xff\xfe".to_vec(), "no text"),
    ];
    for (what, bytes, word) in cases {
        let text = complaint(what, &bytes);
        assert!(text.contains(word), "{what}: {text}");
    }
}

#[test]
fn what_unpacks_without_end_is_refused() {
    // Members of a gzip file follow each other: a small one again and again is a bomb.
    let member = gzip(&vec![0; 1 << 20]);
    let bomb = member.repeat(usize::try_from(parse::RAW_MAX >> 20).unwrap() + 1);
    assert!(matches!(parse::read(&bomb), Err(ParseError::TooLarge { .. })));
}

#[test]
fn no_cut_and_no_flipped_bit_panics() {
    let (proto, text) = (small().bytes(), HEAP_V2.as_bytes().to_vec());
    let mut dice = Dice(7);
    for whole in [&proto, &text] {
        for end in 0..whole.len() {
            let _: Result<Profile, ParseError> = parse::read(&whole[..end]);
        }
        for _ in 0..20_000 {
            let mut broken = whole.clone();
            for _ in 0..=dice.next() % 3 {
                let at = dice.next() as usize % broken.len();
                broken[at] = dice.next() as u8;
            }
            let _: Result<Profile, ParseError> = parse::read(&broken);
        }
    }
}

/// Written by the probe's tests: eight of nine live samples of the first stack have ages.
#[test]
fn ages_of_the_probe_are_read_and_folded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../probe/tests/golden/aged.pb.gz");
    let bytes = std::fs::read(file).expect("the probe's golden file");
    let profile = parse::read(&bytes).unwrap();
    let ages = profile.ages.as_ref().unwrap();
    assert_eq!(ages.bounds_s, [64.0]);
    let told: Vec<_> = ages.rows.iter().map(|row| (row.at, row.bracket, row.samples)).collect();
    assert_eq!(told, [(1, 0, 3.0), (2, 1, 5.0)]);
    let folded = site::fold(&profile, &Symbolizer::new().resolve(&profile), &SiteRules::default());
    assert_eq!(folded.age_bounds_s, [64.0]);
    let site = folded.sites.iter().find(|site| !site.ages.is_empty()).unwrap();
    // The parts of a stack are one cell again, and nothing is lost.
    let cell = &site.cells[site.ages[0].at as usize].cell;
    assert_eq!(cell.live_samples, Some(9.0));
    let aged: f64 = site.ages.iter().map(|row| row.bytes).sum();
    assert!((aged / cell.live_bytes - 8.0 / 9.0).abs() < 1e-3, "{aged} of {}", cell.live_bytes);
    assert!(site.ages.iter().all(|row| row.at == site.ages[0].at));
    // Without the comment the label is a stranger's.
    let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/../probe/tests/golden/snapshot.pb.gz");
    let plain = parse::read(&std::fs::read(plain).unwrap()).unwrap();
    assert_eq!((&plain.ages, plain.live_bytes()), (&None, profile.live_bytes()));
}
