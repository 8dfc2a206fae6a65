#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| camphor_fuzz::head::store_file(bytes));
