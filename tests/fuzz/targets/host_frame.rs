//! Decodes what a gateway asks of its token host and what that answers, as messages and as a stream of frames.

#![no_main]

use wardcast_fuzz::protocol::{Answer, Request, read, write};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wardcast_fuzz::message::<Request>(bytes);
    wardcast_fuzz::message::<Answer>(bytes);
    let mut stream = bytes;
    while let Ok(Some(request)) = read::<Request>(&mut stream) {
        let mut frame = Vec::new();
        write(&mut frame, &request).expect("what was read can be written");
        let again = read(&mut &frame[..]).expect("what was written can be read");
        assert_eq!(again, Some(request));
    }
});
