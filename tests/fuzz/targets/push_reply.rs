//! Decodes what members answer to a push.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wardcast_fuzz::message::<wardcast_fuzz::group::wire::PushReply>(bytes);
});
