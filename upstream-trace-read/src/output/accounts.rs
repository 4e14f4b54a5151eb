//! Whether every attempt is accounted for: counted as healthy or aborted, reported, lost, or still going on.

use serde::Serialize;

/// Where all attempts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accounts {
    /// New connections.
    pub attempts: u64,
    /// Connections that were taken over.
    pub adopted: u64,
    /// Ended well; counted in the kernel only.
    pub healthy: u64,
    /// Ended by the client, or by the exit of the worker; counted in the kernel only.
    pub aborted: u64,
    /// Handed to this program.
    pub reported: u64,
    /// Found by this program to be gone, without an event.
    pub vanished: u64,
    /// Did not fit into the buffer between kernel and program.
    pub lost_buffer: u64,
    /// Did not fit into the table of connections.
    pub lost_table: u64,
    /// Still going on.
    pub live: u64,
    /// Attempts that are in none of these, or less than 0 if some are in two: a fault of this program.
    pub missing: i64,
}

impl Accounts {
    /// Attempts that are in no sum; negative if some are in two.
    #[must_use]
    pub fn balance(&self) -> i64 {
        let there = [
            self.healthy,
            self.aborted,
            self.reported,
            self.vanished,
            self.lost_buffer,
            self.lost_table,
            self.live,
        ];
        let begun = self.attempts.wrapping_add(self.adopted);
        there.into_iter().fold(begun, u64::wrapping_sub).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::Accounts;

    #[test]
    fn what_is_in_no_sum_is_missing() {
        let mut accounts = Accounts {
            attempts: 10,
            adopted: 2,
            healthy: 4,
            aborted: 1,
            reported: 2,
            vanished: 1,
            lost_buffer: 1,
            lost_table: 1,
            live: 2,
            missing: 0,
        };
        assert_eq!(accounts.balance(), 0);
        accounts.live = 0;
        assert_eq!(accounts.balance(), 2);
        accounts.reported = 6;
        assert_eq!(accounts.balance(), -2);
    }
}
