//! Reads the identity out of a certificate.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(identity) = wardcast_fuzz::identity::identity(bytes) {
        assert!(!identity.0.is_empty());
        assert!(!identity.0.chars().any(char::is_control));
    }
});
