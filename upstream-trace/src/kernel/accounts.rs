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

/// Counts. Births are stopped first, so that the sums come to rest; for the end of a run.
pub fn close(tables: &mut Tables) -> Result<Accounts> {
    tables.record_no_more()?;
    let mut accounts = count(tables)?;
    for _ in 0..TRIES {
        if accounts.missing == 0 {
            break;
        }
        thread::sleep(BETWEEN);
        accounts = count(tables)?;
    }
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
