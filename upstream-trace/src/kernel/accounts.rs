//! Counts where all attempts are, for the summary.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use upstream_trace_common::stats;
use upstream_trace_read::output::Accounts;

use super::tables::Tables;

/// A record may be between two sums at the moment of counting: then once more.
const TRIES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(2);

/// Counts, for the end of a run: births have been stopped, so that the sums come to rest. `late` empties the ring buffer
/// and returns how many ends were in it: those attempts ended after the run. `unread` ends were in it before and could
/// not be handled.
pub fn close(tables: &Tables, unread: u64, mut late: impl FnMut() -> u64) -> Result<Accounts> {
    let mut after = late();
    let mut accounts = count(tables)?;
    for _ in 0..TRIES {
        // What came while that was counted may be in the sums or not.
        let meanwhile = late();
        after += meanwhile;
        if accounts.missing == 0 && meanwhile == 0 {
            break;
        }
        thread::sleep(BETWEEN);
        accounts = count(tables)?;
    }
    accounts.reported = accounts.reported.saturating_sub(after + unread);
    accounts.live += after;
    accounts.lost_buffer += unread;
    Ok(accounts)
}

fn count(tables: &Tables) -> Result<Accounts> {
    let sums = tables.sums()?;
    let of = |index: u32| sums[index as usize];
    let mut accounts = Accounts {
        attempts: of(stats::ATTEMPTS),
        adopted: of(stats::ADOPTED),
        healthy: of(stats::HEALTHY),
        aborted: of(stats::ABORTED),
        reported: of(stats::REPORTED),
        vanished: tables.taken,
        lost_buffer: of(stats::LOST_RING),
        lost_table: of(stats::LOST_MAP),
        live: tables.records().count() as u64,
        missing: 0,
    };
    accounts.missing = accounts.balance();
    Ok(accounts)
}
