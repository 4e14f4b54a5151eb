#![no_main]
upstream_trace_libfuzzer::target!("log_wrapping");
