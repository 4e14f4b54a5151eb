//! Which structures the user side may read from and write to maps.

macro_rules! pod {
    ($($name:ident),*) => {$(
        // SAFETY: repr(C), integers and arrays of integers only: every bit pattern is a valid value.
        unsafe impl aya::Pod for crate::$name {}
    )*};
}

pod!(AdoptKey, AdoptState, Addr, DropPlace, FdKey, Offsets, Record, UnixPath, UpstreamCounters, Worker);
pod!(AttemptEvent, ConnectFailed, DnsMessage, EventHeader, OriginExit, PacketEvent, ProcessEvent, RetryEvent);
