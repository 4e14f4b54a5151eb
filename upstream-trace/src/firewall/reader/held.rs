//! Network namespaces whose rulesets are read, held open for a while: whoever lived there when the first packet was dropped may
//! have ended when the next one is.

use std::collections::HashMap;
use std::sync::Arc;

use upstream_trace_core::event::Nanos;

use crate::host::netns::Namespace;

/// Namespaces that are held at a time: one descriptor each.
const MOST: usize = 32;
/// One that was not needed for so long is let go, so that it can end with its container.
const IDLE: Nanos = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Held {
    by_inode: HashMap<u32, (Nanos, Arc<Namespace>)>,
}

impl Held {
    /// The namespace with this inode number. Number 0 stands for one that is not known: nothing is held of it.
    pub(super) fn get(
        &mut self,
        inode: u32,
        now: Nanos,
        open: impl FnOnce(u32) -> Option<Namespace>,
    ) -> Option<Arc<Namespace>> {
        if let Some((used, namespace)) = self.by_inode.get_mut(&inode) {
            *used = now;
            return Some(Arc::clone(namespace));
        }
        let found = Arc::new(open(inode)?);
        if inode != 0 {
            self.make_room(now);
            self.by_inode.insert(inode, (now, Arc::clone(&found)));
        }
        Some(found)
    }

    /// Lets those go that were not needed for a while.
    pub(super) fn let_go(&mut self, now: Nanos) {
        self.by_inode.retain(|_, (used, _)| now.saturating_sub(*used) < IDLE);
    }

    fn make_room(&mut self, now: Nanos) {
        self.let_go(now);
        if self.by_inode.len() >= MOST
            && let Some(oldest) =
                self.by_inode.iter().min_by_key(|(_, (used, _))| *used).map(|(inode, _)| *inode)
        {
            self.by_inode.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::netns::Way;

    fn own(_: u32) -> Option<Namespace> {
        Namespace::open(0, Some(&Way::Process(std::process::id())))
    }

    fn closed(_: u32) -> Option<Namespace> {
        None
    }

    #[test]
    fn a_namespace_is_held_until_nobody_has_needed_it_for_a_while() {
        let mut held = Held::default();
        assert!(held.get(7, 1, closed).is_none());
        assert!(held.get(7, 1, own).is_some() && held.get(7, IDLE, closed).is_some());
        held.let_go(IDLE + 1);
        assert!(held.get(7, 2 * IDLE - 1, closed).is_some());
        held.let_go(3 * IDLE);
        assert!(held.get(7, 3 * IDLE, closed).is_none());
        assert!(held.get(0, 1, own).is_some() && held.get(0, 1, closed).is_none());
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut held = Held::default();
        for inode in 1..=40 {
            assert!(held.get(inode, Nanos::from(inode), own).is_some());
        }
        assert_eq!(held.by_inode.len(), MOST);
        assert!(held.get(8, 50, closed).is_none() && held.get(9, 50, closed).is_some());
    }
}
