#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| heptad_fuzz::igmp(bytes));
