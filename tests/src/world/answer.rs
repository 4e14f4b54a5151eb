//! What nginx answered.

use super::World;
use crate::client::Reply;

/// A reply, with checks that complain to the lab.
#[derive(Debug)]
pub struct Answer<'world> {
    world: &'world World<'world>,
    reply: Reply,
}

impl<'world> Answer<'world> {
    pub(super) fn new(world: &'world World<'world>, reply: Reply) -> Self {
        Self { world, reply }
    }

    /// Checks its status.
    pub fn status(self, status: u16) -> Self {
        let got = self.reply.status;
        self.world.lab.check(got == status, || format!("nginx answered {got}, not {status}"));
        self
    }

    /// Checks that nginx's error.log says this.
    pub fn log(self, text: &str) -> Self {
        self.world.nginx_says(text);
        self
    }

    /// Checks that the body is not complete.
    pub fn truncated(self) -> Self {
        self.world.lab.check(!self.reply.complete, || "the answer is complete, and should not be".into());
        self
    }

    /// Checks the size of a complete body.
    pub fn body(self, size: usize) -> Self {
        let Reply { body, complete, .. } = self.reply;
        self.world
            .lab
            .check(body == size && complete, || format!("{body} bytes of body, complete: {complete}"));
        self
    }

    /// What came.
    pub fn reply(&self) -> &Reply {
        &self.reply
    }
}
