#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| punctual_fuzz::hold("calendar", text));
