//! The maps that user space reads and writes, with types.

use std::collections::{HashMap as Table, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf};
use upstream_trace_common::{
    Addr, AdoptKey, AdoptState, FdKey, Record, UPSTREAMS, UnixPath, UpstreamCounters, Worker, stats,
};

use super::load::Kernel;

/// Only what is still there: `BPF_EXIST`.
const EXIST: u64 = 2;

/// Paths that are remembered by their numbers.
const MAX_PATHS: usize = 4 * UPSTREAMS as usize;

/// All maps.
pub struct Tables {
    records: HashMap<MapData, u64, Record>,
    workers: Array<MapData, Worker>,
    listening: Array<MapData, u64>,
    upstreams: PerCpuHashMap<MapData, Addr, UpstreamCounters>,
    unix_paths: HashMap<MapData, UnixPath, u32>,
    stats: PerCpuArray<MapData, u64>,
    adoptable: HashMap<MapData, AdoptKey, AdoptState>,
    adoptable_left: Array<MapData, u64>,
    announced: HashMap<MapData, u64, u64>,
    any_announced: Array<MapData, u64>,
    origins: HashMap<MapData, u32, u32>,
    io_since: Array<MapData, u64>,
    unix_fds: HashMap<MapData, FdKey, u64>,
    /// Records that user space has ended.
    pub taken: u64,
    /// Open connections for which there was no room.
    pub seeds_lost: u64,
    paths: Table<u32, UnixPath>,
    ring_bytes: u32,
    upstream_room: usize,
}

impl Tables {
    /// Takes the maps and the ring buffer out of the loaded object.
    pub fn take(kernel: &mut Kernel) -> Result<(Self, RingBuf<MapData>)> {
        let events = kernel.map("EVENTS")?;
        let Map::RingBuf(data) = &events else { bail!("EVENTS is no ring buffer") };
        let ring_bytes = data.info().context("the size of the ring buffer")?.max_entries();
        let upstreams = kernel.map("UPSTREAMS")?;
        let Map::PerCpuHashMap(data) = &upstreams else { bail!("UPSTREAMS is no table for each processor") };
        let upstream_room = data.info().context("the size of the table of upstreams")?.max_entries() as usize;
        let tables = Self {
            records: kernel.map("RECORDS")?.try_into()?,
            workers: kernel.map("WORKERS")?.try_into()?,
            listening: kernel.map("LISTENING")?.try_into()?,
            upstreams: upstreams.try_into()?,
            unix_paths: kernel.map("UNIX_PATHS")?.try_into()?,
            stats: kernel.map("STATS")?.try_into()?,
            adoptable: kernel.map("ADOPTABLE")?.try_into()?,
            adoptable_left: kernel.map("ADOPTABLE_LEFT")?.try_into()?,
            announced: kernel.map("ANNOUNCED")?.try_into()?,
            any_announced: kernel.map("ANY_ANNOUNCED")?.try_into()?,
            origins: kernel.map("ORIGINS")?.try_into()?,
            io_since: kernel.map("IO_SINCE")?.try_into()?,
            unix_fds: kernel.map("UNIX_FDS")?.try_into()?,
            taken: 0,
            seeds_lost: 0,
            paths: Table::new(),
            ring_bytes,
            upstream_room,
        };
        Ok((tables, events.try_into().context("the ring buffer")?))
    }

    /// Size of the ring buffer in bytes, as the kernel has it: what was asked for, rounded up to a power of two.
    #[must_use]
    pub fn ring_bytes(&self) -> u32 {
        self.ring_bytes
    }

    /// Upstreams that there is room for.
    #[must_use]
    pub fn upstream_room(&self) -> usize {
        self.upstream_room
    }

    /// Watches this process; of a master only its children.
    pub fn watch(&mut self, pid: u32, master: bool) -> Result<()> {
        // Keeps what the kernel side knows of a process that it has found by itself.
        if self.place(pid).is_some() {
            return Ok(());
        }
        let free = |place: &u32| {
            self.workers.get(place, 0).is_ok_and(|worker| worker.tgid == 0 || worker.tgid == Worker::GONE)
        };
        let place = Worker::places(pid).into_iter().find(free);
        let place = place.with_context(|| format!("no room is left to watch process {pid}"))?;
        let worker = Worker { master: u32::from(master), tgid: pid, ..Worker::default() };
        Ok(self.workers.set(place, worker, 0)?)
    }

    /// Where this process is in the table.
    fn place(&self, pid: u32) -> Option<u32> {
        let is_here = |place: &u32| self.workers.get(place, 0).is_ok_and(|worker| worker.tgid == pid);
        Worker::places(pid).into_iter().find(is_here)
    }

    /// This process turned out to serve requests itself (`master_process off`).
    pub fn serves(&mut self, pid: u32) {
        if let Some(place) = self.place(pid) {
            let _ = self.workers.set(place, Worker { tgid: pid, ..Worker::default() }, 0);
        }
    }

    /// Stops watching this process.
    pub fn forget(&mut self, pid: u32) {
        if let Some(place) = self.place(pid) {
            let _ = self.workers.set(place, Worker { tgid: Worker::GONE, ..Worker::default() }, 0);
        }
    }

    /// Connections on this port are clients.
    pub fn listening(&mut self, port: u16) -> Result<()> {
        Ok(self.listening.set(u32::from(port), 1, 0)?)
    }

    /// Connections to be taken over, later.
    pub fn seed(&mut self, seeds: &Table<AdoptKey, AdoptState>) {
        for (key, seed) in seeds {
            self.seeds_lost += u64::from(self.adoptable.insert(key, seed, 0).is_err());
        }
    }

    /// The kernel side takes them over from now on.
    pub fn take_over(&mut self, count: u32) -> Result<()> {
        Ok(self.adoptable_left.set(0, u64::from(count), 0)?)
    }

    /// What is known now of a connection, if it still waits to be taken over.
    pub fn renew_seed(&mut self, key: &AdoptKey, seed: &AdoptState) {
        let _ = self.adoptable.insert(key, seed, EXIST);
    }

    /// Connections that wait to be taken over.
    pub fn seeds(&self) -> impl Iterator<Item = (AdoptKey, AdoptState)> + '_ {
        self.adoptable.iter().flatten()
    }

    /// This one is gone.
    pub fn forget_seed(&mut self, key: &AdoptKey) {
        let _ = self.adoptable.remove(key);
    }

    /// Counts those that wait; once there are none the kernel side need not look any more. It counts them itself, but
    /// two processors at once may count one only.
    pub fn count_seeds(&mut self) {
        if self.adoptable_left.get(&0, 0).is_ok_and(|left| left != 0) {
            let left = self.adoptable.keys().flatten().count() as u64;
            let _ = self.adoptable_left.set(0, left, 0);
        }
    }

    /// Sums over all CPUs, by index of `upstream_trace_common::stats`.
    pub fn sums(&self) -> Result<[u64; stats::COUNT as usize]> {
        let mut sums = [0u64; stats::COUNT as usize];
        for (index, sum) in (0..stats::COUNT).zip(&mut sums) {
            *sum = self.stats.get(&index, 0)?.iter().fold(0u64, |sum, cpu| sum.wrapping_add(*cpu));
        }
        Ok(sums)
    }

    /// All live records.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records.iter().flatten().map(|(_, record)| record)
    }

    /// Removes a record; false if the kernel side has removed it already.
    pub fn end(&mut self, record: &Record) -> bool {
        let removed = self.records.remove(&record.sk).is_ok();
        self.taken += u64::from(removed);
        // Descriptors that an ending process closes pass no hook.
        let key = FdKey { tgid: record.tgid, fd: record.fd };
        if record.fd >= 0 && self.unix_fds.get(&key, 0).is_ok_and(|sk| sk == record.sk) {
            let _ = self.unix_fds.remove(&key);
        }
        removed
    }

    /// No new connection of anybody is recorded from here on: as those of a master are not.
    pub fn record_no_more(&mut self) -> Result<()> {
        for place in 0..self.workers.len() {
            let worker = self.workers.get(&place, 0)?;
            if worker.tgid != 0 {
                self.workers.set(place, Worker { master: 1, ..worker }, 0)?;
            }
        }
        Ok(())
    }

    /// The attempt on this socket was reported to be stuck: the kernel side tells when it is over.
    pub fn announce(&mut self, sk: u64, id: u64) {
        if self.announced.insert(sk, id, 0).is_err() {
            // Full of sockets whose memory serves others by now.
            let old: Vec<u64> = self.announced.keys().flatten().collect();
            for sk in old {
                let _ = self.announced.remove(&sk);
            }
            let _ = self.announced.insert(sk, id, 0);
        }
        let _ = self.any_announced.set(0, 1, 0);
    }

    /// A connection that waits to be taken over is reported to be stuck; what is known of it if it still waits.
    pub fn announce_seed(&mut self, key: &AdoptKey) -> Option<AdoptState> {
        let seed = AdoptState { announced: 1, ..self.adoptable.get(key, 0).ok()? };
        self.adoptable.insert(key, seed, EXIST).ok().map(|()| seed)
    }

    /// What nginx sends and receives is watched from `since` on (nanoseconds, different each time), or no more (0): to be
    /// called once the hooks are attached, and before they are detached.
    pub fn watch_io(&mut self, since: u64) {
        let _ = self.io_since.set(0, since, 0);
    }

    /// Since when it is watched, 0 if it is not.
    #[must_use]
    pub fn io_since(&self) -> u64 {
        self.io_since.get(&0, 0).unwrap_or(0)
    }

    /// Counters of all upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = (Addr, UpstreamCounters)> + '_ {
        self.upstreams.iter().flatten().map(|(address, counters)| (address, total(&counters)))
    }

    /// Counters of one upstream.
    #[must_use]
    pub fn upstream(&self, key: &Addr) -> Option<UpstreamCounters> {
        self.upstreams.get(key, 0).ok().map(|counters| total(&counters))
    }

    /// This process serves an upstream: tell of its end, and of its children's. False if there is no room.
    pub fn serve(&mut self, pid: u32) -> bool {
        self.origins.insert(pid, pid, 0).is_ok()
    }

    /// This process serves no upstream any more.
    pub fn serves_no_more(&mut self, pid: u32) {
        let _ = self.origins.remove(&pid);
    }

    /// Processes that serve upstreams, each with the one given to [`Tables::serve`] that it comes from.
    #[must_use]
    pub fn serving(&self) -> Vec<(u32, u32)> {
        self.origins.iter().flatten().collect()
    }

    /// Addresses of upstreams, so many at most.
    #[must_use]
    pub fn upstream_addresses(&self, most: usize) -> Vec<Addr> {
        self.upstreams.keys().flatten().take(most).collect()
    }

    /// Whether any unix upstream is known.
    #[must_use]
    pub fn has_unix(&self) -> bool {
        self.unix_paths.keys().next().is_some()
    }

    /// The unix path with this number.
    pub fn path(&mut self, id: u32) -> Option<UnixPath> {
        // That of paths for which there was no room.
        if id == 0 {
            return None;
        }
        if let Some(path) = self.paths.get(&id) {
            return Some(*path);
        }
        // Those that made room are kept: connections to them may still be open.
        if self.paths.len() > MAX_PATHS {
            self.paths.clear();
        }
        self.paths.extend(self.unix_paths.iter().flatten().map(|(path, id)| (id, path)));
        self.paths.get(&id).copied()
    }

    /// Upstreams that records are about.
    #[must_use]
    pub fn upstreams_in_use(&self) -> HashSet<Addr> {
        self.records().map(|record| record.remote).collect()
    }

    /// Makes room for another upstream.
    pub fn forget_upstream(&mut self, key: &Addr) {
        let _ = self.upstreams.remove(key);
        if let Some(path) = key.path_id().and_then(|id| self.path(id)) {
            let _ = self.unix_paths.remove(&path);
        }
    }
}

/// What all CPUs counted together.
fn total(of: &PerCpuValues<UpstreamCounters>) -> UpstreamCounters {
    let mut sum = UpstreamCounters::ZERO;
    for cpu in of.iter() {
        sum.add(cpu);
    }
    sum
}

/// Whether the descriptor still is the socket with this inode number (0: any socket); for unix connections whose end no
/// hook saw.
#[must_use]
pub fn descriptor_exists(pid: u32, fd: i32, sock_inode: u64) -> bool {
    let descriptor = Path::new("/proc").join(pid.to_string()).join("fd").join(fd.to_string());
    match descriptor.read_link() {
        Ok(target) => sock_inode == 0 || target == Path::new(&format!("socket:[{sock_inode}]")),
        // Of a process that may not be looked into nothing is known.
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}
