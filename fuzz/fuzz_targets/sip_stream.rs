//! Any stream in any chunks: every frame is one whole message within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipjab::sip::{Frame, Limits, Message, StreamFramer};

fuzz_target!(|bytes: &[u8]| {
    let Some((step, stream)) = bytes.split_first() else { return };
    let limits = Limits { header_block: 4 << 10, line: 1 << 10, headers: 32, body: 1 << 10 };
    let mut framer = StreamFramer::new(limits);
    for chunk in stream.chunks(usize::from(*step) + 1) {
        framer.push(chunk);
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(frame))) => {
                    assert!(frame.len() <= limits.header_block + limits.body);
                    let message = Message::parse_within(frame, &limits).expect("a frame reads");
                    assert_eq!(message.content_length(), Ok(Some(message.body().len())));
                }
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(framer.poll(), Err(error));
                    let _ = framer.refused();
                    return;
                }
            }
        }
    }
});
