//! Decodes a group's snapshot and replays whatever records follow it: each fits or changes nothing.

#![no_main]

use wardcast_fuzz::group::record::Record;
use wardcast_fuzz::group::state::State;

/// What separates the items of one input.
const SEPARATOR: &[u8] = b"\xff\xff\xff\xff";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut items = wardcast_fuzz::split(bytes, SEPARATOR);
    let Some(Ok(mut state)) = items.next().map(State::from_bytes) else {
        return;
    };
    for item in items {
        let Ok(record) = Record::from_bytes(item) else {
            return;
        };
        let before = state.to_bytes();
        let applied = state.apply(record).is_ok();
        let after = state.to_bytes();
        assert!(applied || before == after);
        let again = State::from_bytes(&after).expect("a state stays a state");
        assert_eq!(again.to_bytes(), after);
    }
});
