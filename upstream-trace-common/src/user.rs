//! Which structures the user side may read from and write to maps.

use crate::{
    Addr, ConnectFailed, DnsMessage, DropPlace, EventHeader, FdKey, Offsets, OriginExit, PacketEvent,
    ProcessEvent, Record, RetryEvent, Seed, SeedKey, UnixPath, UpstreamCounters, Worker,
};

macro_rules! pod {
    ($($name:ty),*) => {$(
        // SAFETY: repr(C), integers and arrays of integers only: every bit pattern is a valid value.
        unsafe impl aya::Pod for $name {}
    )*};
}

pod!(Addr, DropPlace, FdKey, Offsets, Record, Seed, SeedKey, UnixPath, UpstreamCounters, Worker);
pod!(ConnectFailed, DnsMessage, EventHeader, OriginExit, PacketEvent, ProcessEvent, RetryEvent);
