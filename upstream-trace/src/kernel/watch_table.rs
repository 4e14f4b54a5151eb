//! The map of watched processes, as the part that finds nginx fills it.

use anyhow::Result;

use super::tables::Tables;
use crate::nginx::WatchTable;

impl WatchTable for Tables {
    fn watch(&mut self, pid: u32, master: bool) -> Result<()> {
        Self::watch(self, pid, master)
    }

    fn serves(&mut self, pid: u32) {
        Self::serves(self, pid);
    }

    fn forget(&mut self, pid: u32) {
        Self::forget(self, pid);
    }

    fn listening(&mut self, port: u16) -> Result<()> {
        Self::listening(self, port)
    }
}
