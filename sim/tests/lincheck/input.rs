//! What is read, and what is refused: with its place, and without a panic.

use proptest::prelude::*;
use quorate_sim::lincheck::file::{
    Format, History, InputError, Judgement, Options, draw_run, guess_format, judge, read_history,
    write_json,
};
use quorate_sim::lincheck::{KvCall, KvOperation, KvReturn, Operation, Verdict};

fn read(text: &str) -> Result<History, InputError> {
    read_history(text.as_bytes(), guess_format(text.as_bytes()), false)
}

fn judged(text: &str) -> Judgement {
    judge(&read(text).expect("the history is sound"), &Options::default(), &mut || true)
        .expect("the history is sound")
}

#[track_caller]
fn assert_refused(text: &str, place: (usize, usize), words: &str) {
    let error = read(text)
        .and_then(|history| judge(&history, &Options::default(), &mut || true).map(|_| ()));
    let error = error.expect_err("it is refused");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!((error.at.line, error.at.column), place, "{error}");
}

const WRITE: &str = r#"{"process":0,"type":"invoke","f":"write","value":1}"#;

#[test]
fn json_that_is_wrong_is_refused_with_its_place() {
    assert_refused("{\"process\":0,\n", (1, 13), "EOF");
    assert_refused(&format!("{WRITE}\n  nonsense"), (2, 4), "expected ident");
    assert_refused(r#"{"process":0,"type":"maybe","f":"read"}"#, (1, 27), "unknown variant");
    assert_refused(r#"{"process":0,"f":"read"}"#, (1, 24), "missing field `type`");
    assert_refused(r#"{"process":[1],"type":"invoke","f":"read"}"#, (1, 1), "process is [1]");
    assert_refused(r#"{"process":1,"type":"invoke","f":"txn"}"#, (1, 1), "unknown f \"txn\"");
    assert_refused(
        r#"{"process":1,"type":"invoke","f":"cas","value":3}"#,
        (1, 1),
        "[expected, new]",
    );
}

#[test]
fn events_that_do_not_fit_are_refused() {
    assert_refused(&format!("{WRITE}\n{WRITE}"), (2, 1), "has not completed");
    assert_refused(r#"{"process":0,"type":"ok","f":"read"}"#, (1, 1), "it has called none");
    let end = |end: &str| format!("{WRITE}\n{{\"process\":0,\"type\":\"ok\",{end}}}");
    assert_refused(&end(r#""f":"read""#), (2, 1), "completes read, but it called write in line 1");
    assert_refused(&end(r#""f":"write","value":2"#), (2, 1), "completes write 2");
    assert_refused(&end(r#""f":"write","key":7"#), (2, 1), "completes key 7");
}

#[test]
fn operations_of_different_models_are_not_mixed() {
    let lock = r#"{"process":1,"type":"invoke","f":"acquire"}"#;
    assert_refused(&format!("{WRITE}\n{lock}"), (1, 1), "a mutex has no write");
    let append = r#"{"process":1,"type":"invoke","f":"append","value":"a"}"#;
    assert_refused(&format!("{append}\n{WRITE}"), (2, 1), "append joins texts, but here is 1");
    let number = r#"{"process":1,"type":"invoke","f":"append","value":5}"#;
    assert_refused(number, (1, 1), "append joins texts");
}

#[test]
fn edn_that_is_wrong_is_refused_with_its_place() {
    assert_refused("{:process 0, :type :invoke\n", (2, 1), "ends within a value");
    assert_refused("{:process 0}\n", (1, 1), "the field type is missing");
    assert_refused("; first\n{:process 0 :type :x :f :read}", (2, 1), "type is :x");
    assert_refused("[{:process 0 :type :info :f :read}", (1, 2), "it has called none");
    assert_refused("[{:process :nemesis :type :info :f :kill}", (1, 42), "not closed");
    assert_refused("[]\n  5", (2, 3), "nothing may follow");
    assert_refused("{:process 0 :type :invoke :f 5}", (1, 1), "f is 5");
    assert_refused("(5)", (1, 2), "an event is a map");
}

#[test]
fn jepsens_histories_are_read() {
    let text = "; a register that is written after its client gave up\n\
        {:process :nemesis, :type :info, :f :start, :value nil, :time 3}\n\
        #jepsen.history.Op{:index 0, :time 3291, :type :invoke, :process 0, :f :write, :value 3}\n\
        {:process 0, :type :info, :f :write, :value 3, :error :timeout}\n\
        {:process 1, :type :invoke, :f :cas, :value [3 4]}\n\
        {:process 1, :type :fail, :f :cas, :value [3 4]}\n\
        {:process 2, :type :invoke, :f :read, :value nil}\n\
        {:process 2, :type :ok, :f :read, :value 3}\n";
    let history = read(text).unwrap();
    assert_eq!((history.entries.len(), history.skipped), (3, 1));
    assert_eq!(history.entries[0].called.line, 3);
    assert_eq!(judged(text).verdict, Verdict::Linearizable);
    let stale = text.replace(":f :read, :value 3", ":f :read, :value 4");
    assert_eq!(judged(&stale).verdict, Verdict::Violation { operation: 2 });
    let events: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(read(&format!("[{}]", events.join(","))).unwrap().entries.len(), 3);
}

#[test]
fn pairs_of_independent_tests_are_keys() {
    let text = "{:process 0, :type :invoke, :f :write, :value [7 1]}\n\
        {:process 0, :type :ok, :f :write, :value [7 1]}\n\
        {:process 0, :type :invoke, :f :read, :value [8 nil]}\n\
        {:process 0, :type :ok, :f :read, :value [8 nil]}\n\
        {:process 0, :type :invoke, :f :cas, :value [7 [1 2]]}\n\
        {:process 0, :type :ok, :f :cas, :value [7 [1 2]]}\n";
    let history = read_history(text.as_bytes(), Format::Edn, true).unwrap();
    let judgement = judge(&history, &Options::default(), &mut || true).unwrap();
    assert_eq!((judgement.verdict, judgement.keys), (Verdict::Linearizable, 2));
    let error = read_history(b"{:process 0 :type :invoke :f :write :value 3}", Format::Edn, true);
    assert!(error.unwrap_err().to_string().contains("[key, value], as --independent says"));
}

#[test]
fn what_a_failed_swap_found_and_what_existed_are_held_against_the_history() {
    let lines = |found: &str, existed: &str| {
        format!(
            r#"{{"process":0,"type":"invoke","f":"append","key":"k","value":"ab"}}
{{"process":0,"type":"ok","f":"append","key":"k","existed":{existed}}}
{{"process":0,"type":"invoke","f":"cas","key":"k","value":["x","y"]}}
{{"process":0,"type":"fail","f":"cas","key":"k","found":{found}}}"#
        )
    };
    assert_eq!(judged(&lines(r#""ab""#, "false")).verdict, Verdict::Linearizable);
    assert_eq!(judged(&lines("null", "false")).verdict, Verdict::Violation { operation: 1 });
    assert_eq!(judged(&lines(r#""x""#, "false")).verdict, Verdict::Violation { operation: 1 });
    assert_eq!(judged(&lines(r#""ab""#, "true")).verdict, Verdict::Violation { operation: 0 });
}

#[test]
fn lists_are_appended_to_lists() {
    let lines = |seen: &str| {
        format!(
            r#"{{"process":0,"type":"invoke","f":"append","value":[1]}}
{{"process":0,"type":"ok","f":"append"}}
{{"process":0,"type":"invoke","f":"append","value":["2,",null]}}
{{"process":0,"type":"ok","f":"append"}}
{{"process":0,"type":"invoke","f":"read"}}
{{"process":0,"type":"ok","f":"read","value":{seen}}}"#
        )
    };
    assert_eq!(judged(&lines(r#"[1,"2,",null]"#)).verdict, Verdict::Linearizable);
    let judgement = judged(&lines(r#"[1,2,null]"#));
    assert_eq!(judgement.verdict, Verdict::Violation { operation: 2 });
    assert_eq!(judgement.reports[0].states, [r#"[1,"2,",nil]"#]);
}

fn kv(
    process: u32,
    call: KvCall,
    called_at: u64,
    returned: Option<(u64, KvReturn)>,
) -> KvOperation {
    KvOperation {
        key: b"k%\n".to_vec(),
        operation: Operation { process, call, called_at, returned },
    }
}

#[test]
fn a_written_history_is_read_back_with_the_same_verdict() {
    let bytes = |text: &[u8]| text.to_vec();
    let mismatch = KvReturn::Mismatch(Some(b"\xffa".to_vec()));
    let swap = KvCall::CompareAndSwap { expected: None, value: bytes(b"z") };
    let mut history = vec![
        kv(0, KvCall::Put(bytes(b"\xff")), 1, Some((2, KvReturn::Written { existed: false }))),
        kv(1, KvCall::Append(bytes(b"a")), 3, None),
        kv(1, swap, 4, Some((5, mismatch))),
        kv(0, KvCall::Delete, 6, Some((7, KvReturn::Value(Some(b"\xffa".to_vec()))))),
        kv(0, KvCall::Get, 8, Some((9, KvReturn::Value(None)))),
    ];
    let verdict = |history: &[KvOperation]| {
        let mut lines = Vec::new();
        write_json(history, &mut lines).unwrap();
        judged(std::str::from_utf8(&lines).unwrap()).verdict
    };
    assert_eq!(verdict(&history), Verdict::Linearizable);
    history[4].operation.returned = Some((9, KvReturn::Value(Some(b"a".to_vec()))));
    assert_eq!(verdict(&history), Verdict::Violation { operation: 4 });
    assert!(draw_run(&history, "seed 7").unwrap().contains("<h1>seed 7: not linearizable"));
}

#[test]
fn values_nested_without_end_are_refused_in_both_formats() {
    let deep =
        |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let json = format!(r#"{{"process":0,"type":"invoke","f":"write","value":{}}}"#, deep("[", "]"));
    assert!(read(&json).unwrap_err().to_string().contains("recursion limit"));
    for (open, close) in [("[", "]"), ("#{", "}"), ("#a ", "1"), ("{1 ", "}")] {
        let edn = format!("{{:process 0 :type :invoke :f :write :value {}}}", deep(open, close));
        assert!(read(&edn).is_err());
    }
}

/// Pieces that are nearly right.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{:process 0, :type :invoke, :f :write, :value ".to_string()),
        Just("{\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":".to_string()),
        Just(":nemesis".to_string()),
        Just("#jepsen.history.Op".to_string()),
        prop::sample::select(vec![
            "{", "}", "[", "]", "(", ")", "\"", "\\", "#_", "\n", ";", "nil", "1N", "3/0", "\\u",
            "null"
        ])
        .prop_map(str::to_string),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn no_bytes_make_it_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Json, Format::Edn, guess_format(&content)] {
            drop(read_history(&content, format, false));
        }
    }

    #[test]
    fn no_text_that_is_nearly_right_makes_it_panic(
        pieces in prop::collection::vec(piece(), 0..20),
        independent in any::<bool>(),
    ) {
        let content = pieces.concat().into_bytes();
        for format in [Format::Json, Format::Edn] {
            if let Ok(history) = read_history(&content, format, independent) {
                drop(judge(&history, &Options::default(), &mut || true));
            }
        }
    }
}
