use std::io::{BufReader, Cursor, Read, repeat};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::console::protocol::{Request, Status};

fn said(result: Result<Value, ClientError>) -> String {
    result.map_or_else(|error| error.to_string(), |value| value.to_string())
}

#[test]
fn a_request_is_one_line_that_the_server_reads() {
    let line = request(&Method::Reset { connection: "a\nb".into() }, 7);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let request: Request = serde_json::from_slice(&line).unwrap();
    assert_eq!(request.jsonrpc, "2.0");
    assert_eq!(request.id, Some(json!(7)));
    assert_eq!((request.method.as_str(), request.params), ("reset", json!({ "connection": "a\nb" })));
}

#[test]
fn an_answer_is_a_result_or_an_error() {
    assert_eq!(said(result(br#"{"jsonrpc":"2.0","id":1,"result":[1]}"#, 1)), "[1]");
    assert_eq!(said(result(br#"{"jsonrpc":"2.0","id":1,"result":null}"#, 1)), "null");
    let refused = result(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no such connection"}}"#, 1);
    assert!(matches!(&refused, Err(ClientError::Refused(error)) if error.code == 1), "{refused:?}");
    // The server cannot know the id of a request that it could not read.
    let unread = result(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no JSON"}}"#, 1);
    assert_eq!(said(unread), "no JSON");
}

#[test]
fn an_answer_that_is_none_is_garbage() {
    for (line, reason) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("hello", "expected value at line 1 column 1"),
        ("[]", "invalid length 0, expected struct Response with 4 elements"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "its answer holds neither result nor error"),
        (r#"{"jsonrpc":"1.0","id":1,"result":1}"#, "its answer is not of JSON-RPC 2.0"),
        (r#"{"jsonrpc":"2.0","id":2,"result":1}"#, "its answer is to another question"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#,
            "its answer holds both result and error",
        ),
    ] {
        let expected = format!("what answers is no gateway of this version: {reason}");
        assert_eq!(said(result(line.as_bytes(), 1)), expected, "{line}");
    }
}

#[test]
fn deep_nesting_is_garbage() {
    for text in
        ["[".repeat(1_000_000), format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}"#, "[".repeat(100_000))]
    {
        assert!(matches!(result(text.as_bytes(), 1), Err(ClientError::Garbage(_))));
    }
}

#[test]
fn an_endless_line_is_given_up() {
    let mut endless = BufReader::new(repeat(b'x'));
    let given_up = read_line(&mut endless, 1 << 16).map(|line| json!(line.len()));
    assert!(said(given_up).ends_with("its answer is longer than 65536 bytes"));
    let mut longest = BufReader::new(repeat(b'x').take(1 << 16).chain(&b"\nrest"[..]));
    assert_eq!(read_line(&mut longest, 1 << 16).unwrap().len(), 1 << 16);
}

#[test]
fn a_line_that_breaks_off_is_no_answer() {
    let broken = read_line(&mut Cursor::new(b"{\"jsonrpc\""), 100).unwrap_err();
    assert!(matches!(broken, ClientError::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof));
}

#[test]
fn nobody_at_the_socket_is_told_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let error = Client::connect(&directory.path().join("gw.sock")).unwrap_err();
    assert!(error.to_string().starts_with("no gateway answers at "), "{error}");
    assert!(error.remedy().contains("crossgated FILE"));
}

proptest! {
    #[test]
    fn random_lines_are_answered(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = result(&line, 1).and_then(|value| typed::<Status>(&value));
    }

    #[test]
    fn random_values_are_no_status(text in r#"[\[\]{}",:0-9a-z]{0,60}"#) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#);
        prop_assert!(result(line.as_bytes(), 1).and_then(|value| typed::<Status>(&value)).is_err());
    }
}
