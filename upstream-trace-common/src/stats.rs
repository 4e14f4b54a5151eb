//! Indices into the `STATS` per-CPU array: every attempt is in exactly one of the sums, so that
//! `ATTEMPTS + ADOPTED = HEALTHY + REPORTED + ABORTED + LOST_RING + LOST_MAP + ended by user space + live`.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $index:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = $index;)*

        /// How many counters there are.
        pub const COUNT: u32 = [$($name),*].len() as u32;

        const _: () = {
            let indices = [$($name),*];
            let mut place = 0;
            while place < indices.len() {
                assert!(indices[place] as usize == place, "indices count up from 0");
                place += 1;
            }
        };
    };
}

counters! {
    /// Records created for new connections.
    ATTEMPTS = 0;
    /// Records created for connections that were open before the program started.
    ADOPTED = 1;
    /// Records that ended provably healthy; they never crossed the ring buffer.
    HEALTHY = 2;
    /// Records sent through the ring buffer when their attempt ended.
    REPORTED = 3;
    /// Records that ended because the client went away or the worker exited.
    ABORTED = 4;
    /// Records that ended and found the ring buffer full.
    LOST_RING = 5;
    /// Connections without a record, because the record map was full.
    LOST_MAP = 6;
    /// Other events (drops, process events, first signs of trouble) that found the ring buffer full.
    LOST_EVENTS = 7;
    /// Attempts towards upstream addresses for which no counter slot was left.
    LOST_SLOTS = 8;
    /// Processes of origins that found no room in their table.
    LOST_ORIGINS = 9;
    /// TCP sockets that a worker closed without ever having connected them: `connect()` failed at once, unseen.
    UNCONNECTED = 10;
    /// New processes of nginx that found no room in their table.
    LOST_WORKERS = 11;
    /// Packets of no connection of nginx, to or from an upstream, beyond so many a second.
    LOST_PACKETS = 12;
    /// Runs of a hook that were left out, and that its stand-in handled.
    STOOD_IN = 13;
}
