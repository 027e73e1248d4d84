//! What is no heap profile, or not a whole one: each gets one clear line, whatever the file is
//! called. In: first bytes of well-known files, cut, nested and bloated ones. Out: errors, and
//! never much memory.

use crate::hostile::complaint;
use crate::writing::gzip;

#[test]
fn mislabelled_files_are_told_by_their_content() {
    let core = {
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0".to_vec();
        head.resize(4_096, 0);
        head
    };
    let page = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>".to_vec();
    let json = br#"{"error":{"code":404,"message":"no such profile"}}"#.to_vec();
    let cpu = br#"{"nodes":[{"id":1,"hitCount":3}],"startTime":1,"endTime":2}"#.to_vec();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an error page", page.clone(), "an HTML page"),
        ("an error page, packed", gzip(&page), "an HTML page"),
        ("an error as JSON", json.clone(), "reports an error"),
        ("JSON, packed", gzip(&json), "reports an error"),
        ("other JSON", b" [1, 2, 3]".to_vec(), "JSON of no form"),
        ("a CPU profile of V8", cpu, "a CPU profile of V8"),
        ("a trace", br#"{"traceEvents":[]}"#.to_vec(), "a trace of Chrome"),
        ("a sidecar", br#"{"schema":"ebbtide/snapshot/1"}"#.to_vec(), "`.pb.gz` beside it"),
        ("a core dump", core, "a core dump"),
        ("a program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec(), "a program"),
        ("zip", b"PK\x03\x04 and more".to_vec(), "a zip archive"),
        ("zstd", b"\x28\xb5\x2f\xfd and more".to_vec(), "zstd"),
        ("Java", b"JAVA PROFILE 1.0.2\0".to_vec(), "a Java program"),
        ("Go as text", b"heap profile: 1: 2 [3: 4] @ heap/512".to_vec(), "debug=1"),
        ("massif", b"desc: (none)\ncmd: ./a\n".to_vec(), "massif"),
        ("empty, packed", gzip(b""), "empty"),
        ("prose", b"see the wiki for more".to_vec(), "unknown format"),
    ];
    for (what, bytes, words) in cases {
        let error = complaint(what, &bytes);
        assert!(error.contains(words), "{what}: {error}");
    }
}

/// A file that promises much, or nests without end, costs no more than its own size.
#[test]
fn promises_of_a_file_are_not_believed() {
    let deep = |begin: &str, unit: &str| (begin.to_owned() + &unit.repeat(200_000)).into_bytes();
    let meta = r#""meta":{"node_fields":["id","self_size","trace_node_id"],
        "trace_function_info_fields":["name","script_name","line"],
        "trace_node_fields":["id","function_info_index","count","size","children"],
        "sample_fields":["timestamp_us","last_assigned_id"]}"#;
    let timeline = |rest: &str| {
        let head = r#""node_count":18446744073709551615,"trace_function_count":4294967295"#;
        format!("{{\"snapshot\":{{{meta},{head}}},{rest}").into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a count alone", timeline("\"nodes\":[1,2"), "ends here"),
        ("a row that is cut", timeline("\"nodes\":[1,2]}"), "not whole"),
        (
            "a tree without end",
            {
                let tree = "\"trace_tree\":[".to_owned() + &"1,0,0,0,[".repeat(200_000);
                timeline(&tree)
            },
            "frames of one",
        ),
        (
            "a function that is not there",
            timeline(
                r#""nodes":[1,8,2],"trace_function_infos":[0,0,1],
               "trace_tree":[1,0,0,0,[2,9,1,8,[]]],"strings":["f"]}"#,
            ),
            "function 9",
        ),
        (
            "a string that is not there",
            timeline(
                r#""nodes":[1,8,2],"trace_function_infos":[7,0,1],
               "trace_tree":[1,0,0,0,[2,0,1,8,[]]],"strings":["f"]}"#,
            ),
            "string 7",
        ),
        ("DHAT, nested", deep("{\"dhatFileVersion\":2,\"x\":", "["), "nested more than"),
        ("DHAT of another version", b"{\"dhatFileVersion\":3}".to_vec(), "version 3"),
        (
            "DHAT with a stray frame",
            br#"{"dhatFileVersion":2,"mode":"heap",
                "pps":[{"tb":1,"tbk":1,"eb":1,"ebk":1,"fs":[5]}],"ftbl":["[root]"]}"#
                .to_vec(),
            "frame 5 of 1",
        ),
        (
            "DHAT that speaks to a terminal",
            b"{\"dhatFileVersion\":2,\"mode\":\"\\u001b[2J\\n\\n\"}".to_vec(),
            "mode `\\u{1b}",
        ),
        ("a cut gzip", gzip(&timeline("\"nodes\":[1,2"))[..60].to_vec(), "gzip"),
    ];
    for (what, bytes, words) in cases {
        let error = complaint(what, &bytes);
        assert!(error.contains(words), "{what}: {error}");
    }
}
