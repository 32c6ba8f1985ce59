//! Decodes KMIP messages in the binary encoding.

#![no_main]

use wardcast_fuzz::kmip::codec::View;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wardcast_fuzz::kmip(View::Ttlv, bytes);
});
