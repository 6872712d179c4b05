//! Tests of the pickle reader.

use proptest::prelude::*;

use super::*;

/// Parses the output of `pickle.dumps(obj, protocol=P)` in Python.
fn parse(bytes: &[u8]) -> Pickle {
    Pickle::parse(bytes).unwrap()
}

#[test]
fn plain_values_are_read() {
    // {'a': (1, -2, 2.5, None, True), 'b': [70000, 2**40]}, protocol 2
    let pickle = parse(
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00N\x88tq\x02X\x01\x00\x00\x00bq\x03]q\x04(Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eu.",
    );
    let Object::Dict(entries) = pickle.get(pickle.root()) else {
        panic!("a dict");
    };
    let keys: Vec<_> = entries.iter().map(|&(key, _)| pickle.text(key)).collect();
    assert_eq!(keys, [Some("a"), Some("b")]);
    let values = |id| -> Vec<Object> {
        let items = pickle.items(id).unwrap().iter();
        items.map(|&id| pickle.get(id).clone()).collect()
    };
    assert_eq!(
        values(entries[0].1),
        [
            Object::Int(1),
            Object::Int(-2),
            Object::Float(2.5),
            Object::None,
            Object::Bool(true)
        ]
    );
    assert_eq!(
        values(entries[1].1),
        [Object::Int(70_000), Object::Int(1 << 40)]
    );
}

#[test]
fn code_is_data() {
    // A pickle that calls `os.system("touch owned")`.
    let pickle = parse(b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch owned\x85R.");
    let (name, args) = pickle.call(pickle.root()).unwrap();
    assert_eq!(name, "posix.system");
    assert_eq!(pickle.text(args[0]), Some("touch owned"));
}

#[test]
fn loops_and_bombs_stay_small() {
    // A list that contains itself.
    let pickle = parse(b"\x80\x02]q\x00h\x00a.");
    assert_eq!(pickle.items(pickle.root()), Some(&[0][..]));
    // Thirty lists, each with two references to the previous one: a deep copy would have 2^30 leaves.
    let mut bytes = b"\x80\x02]q\x00".to_vec();
    for i in 0..30 {
        bytes.extend([b'0', b']', b'q', i + 1, b'h', i, b'a', b'h', i, b'a']);
    }
    bytes.push(b'.');
    assert_eq!(parse(&bytes).objects.len(), 31);
    // A pickle of a few bytes that claims to hold a string of 4 GiB.
    let error = Pickle::parse(b"\x80\x02X\xff\xff\xff\xff.").unwrap_err();
    assert!(error.to_string().contains("ends too early"), "{error}");
}

#[test]
fn broken_programs_are_refused() {
    for (bytes, problem) in [
        (&b""[..], "ends too early"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02.", "empty stack"),
        (b"\x80\x02h\x07.", "never set"),
        (b"\x80\x02t.", "a mark is missing"),
        (b"\x80\x02K\x01(\x85.", "empty stack"),
        (b"\x80\x02}K\x01K\x02K\x03.", ""),
        (b"\x80\x02}(K\x01u.", "without a value"),
        (b"\x80\x02i.", "0x69"),
    ] {
        match Pickle::parse(bytes) {
            Err(error) => assert!(error.to_string().contains(problem), "{error}"),
            Ok(_) => assert_eq!(problem, ""),
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Pickle::parse(&bytes);
        let mut started = b"\x80\x02}(".to_vec();
        started.extend(bytes);
        let _ = Pickle::parse(&started);
    }
}
