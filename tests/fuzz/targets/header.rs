//! Decodes epoch headers; what is accepted has one encoding only.

#![no_main]

use wardcast_fuzz::group::wire::{EpochHeader, HEADER_AAD};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let parsed = match EpochHeader::parse(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return assert!(error.offset <= bytes.len()),
    };
    assert!(parsed.signed.ends_with(&parsed.tag));
    assert!(
        parsed
            .signed
            .windows(HEADER_AAD.len())
            .any(|part| part == HEADER_AAD)
    );
    let again = parsed
        .header
        .assemble(parsed.key_id, parsed.tag, &parsed.signature);
    // A later version's entries are signed and not kept, so the header may have been longer.
    assert!(again.len() <= bytes.len());
    if again.len() == bytes.len() {
        assert_eq!(again, bytes);
        assert_eq!(parsed.prefix(), parsed.header.prefix(parsed.key_id));
    }
});
