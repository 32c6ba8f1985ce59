//! Decodes a record of a group's log, as it comes from a disk.

#![no_main]

use wardcast_fuzz::group::record::Record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::from_bytes(bytes) {
        let again = Record::from_bytes(&record.to_bytes()).expect("what was read is a record");
        assert_eq!(again, record);
    }
});
