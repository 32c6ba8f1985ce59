//! Decodes KMIP messages in the XML encoding.

#![no_main]

use wardcast_fuzz::kmip::codec::View;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wardcast_fuzz::kmip(View::Xml, bytes);
});
