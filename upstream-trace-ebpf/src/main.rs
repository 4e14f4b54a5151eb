//! Kernel side of upstream-trace: keeps a flight record per connection that nginx's workers make to an upstream, and
//! sends it through one ring buffer when the attempt ends and is not provably healthy.
//!
//! Every program does as little as it can before it knows that the event is one of ours, and finds the record by the
//! socket: in softirq the current process is whoever was interrupted.
#![no_std]
#![no_main]
// Atomic additions are one BPF instruction, for which Rust has no stable name on this target.
#![feature(asm_experimental_arch)]

mod adopt;
mod birth;
mod client;
mod closers;
mod config;
mod connect;
mod counters;
mod dns;
mod emit;
mod errors;
mod exchange;
mod fentry;
mod finish;
mod http2;
mod kernel;
mod kprobe;
mod logwrite;
mod maps;
mod packets;
mod payload;
mod pending;
mod process;
mod record;
mod records;
mod request;
mod response;
mod retry;
mod sendrecv;
mod sighting;
mod stand_in;
mod state;
mod syscalls;
mod tls;
mod trail;
mod under_way;
mod unix;
mod unix_path;
mod worker;

/// Never runs: nothing here panics, and the verifier would refuse a loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Helpers such as `bpf_get_stack` are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
