//! What one object of the tool must say.

use std::ops::{BitOr, RangeInclusive};

use serde_json::Value;

use crate::lab::Lab;
use crate::limits::Limit;
use crate::pace::slow;

/// How sure a verdict may be; join several with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Confidence {
    /// The kernel saw the cause itself.
    Proven = 1,
    /// The rivals would have left other traces.
    Likely = 2,
    /// Rivals fit as well.
    Possible = 4,
}

/// A set of [`Confidence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confidences(u8);

impl From<Confidence> for Confidences {
    fn from(one: Confidence) -> Self {
        Self(one as u8)
    }
}

impl BitOr for Confidence {
    type Output = Confidences;

    fn bitor(self, other: Self) -> Confidences {
        Confidences(self as u8 | other as u8)
    }
}

impl BitOr<Confidence> for Confidences {
    type Output = Self;

    fn bitor(self, other: Confidence) -> Self {
        Self(self.0 | other as u8)
    }
}

impl Confidences {
    fn names(self) -> Vec<&'static str> {
        let all = [(1, "proven"), (2, "likely"), (4, "possible")];
        all.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect()
    }
}

/// An object that the tool must have printed; each method checks a field and complains to the lab.
#[derive(Debug)]
pub struct Expected<'lab> {
    lab: &'lab Lab,
    name: String,
    object: Option<Value>,
    /// This kernel cannot show all of it: less evidence and less certainty are excused, and noted.
    lenient: Option<&'static Limit>,
}

impl<'lab> Expected<'lab> {
    /// Complains if there is none.
    pub fn new(lab: &'lab Lab, name: String, object: Option<Value>) -> Self {
        lab.check(object.is_some(), || format!("missing: {name}"));
        Self { lab, name, object, lenient: None }
    }

    /// The same on a kernel that cannot show all of it.
    pub(crate) fn lenient(self, limit: &'static Limit) -> Self {
        Self { lenient: Some(limit), ..self }
    }

    /// For runs without the tool: nothing is checked.
    pub fn unchecked(lab: &'lab Lab, name: String) -> Self {
        Self { lab, name, object: None, lenient: None }
    }

    fn check(self, field: &str, expected: &str, is_so: impl FnOnce(&Value) -> bool) -> Self {
        if self.lenient.is_some_and(|limit| limit.fields.contains(&field)) {
            if self.object.as_ref().is_some_and(|object| !is_so(&object[field])) {
                self.lab.excuse();
            }
            return self;
        }
        if let Some(object) = &self.object {
            let got = &object[field];
            self.lab.check(is_so(got), || format!("{}: {field} is {got}, not {expected}", self.name));
        }
        self
    }

    /// The same for what a limit of the kernel may take away.
    fn check_sight(self, field: &str, expected: &str, is_so: impl FnOnce(&Value) -> bool) -> Self {
        if self.lenient.is_some() {
            if self.object.as_ref().is_some_and(|object| !is_so(&object[field])) {
                self.lab.excuse();
            }
            return self;
        }
        self.check(field, expected, is_so)
    }

    fn is(self, field: &str, expected: impl Into<Value>) -> Self {
        let expected = expected.into();
        self.check(field, &expected.to_string(), |got| *got == expected)
    }

    /// How sure it may be. A verdict that is only possible must name its rivals.
    pub fn confidence(self, allowed: impl Into<Confidences>) -> Self {
        let names = allowed.into().names();
        let expected = names.join(" or ");
        let this = self
            .check_sight("confidence", &expected, |got| got.as_str().is_some_and(|got| names.contains(&got)));
        let unsure = this.object.as_ref().is_some_and(|object| object["confidence"] == "possible");
        if unsure {
            return this.check("alternatives", "a list of rivals", |got| {
                got.as_array().is_some_and(|list| !list.is_empty())
            });
        }
        this
    }

    /// Address of the upstream.
    pub fn upstream(self, address: &str) -> Self {
        self.is("upstream", address)
    }

    /// Phase.
    pub fn phase(self, phase: &str) -> Self {
        self.is("phase", phase)
    }

    /// One of several phases.
    pub fn phase_of(self, phases: &[&str]) -> Self {
        self.check("phase", &phases.join(" or "), |got| got.as_str().is_some_and(|got| phases.contains(&got)))
    }

    /// `tcp` or `unix`.
    pub fn transport(self, transport: &str) -> Self {
        self.is("transport", transport)
    }

    /// The status that nginx answers.
    pub fn status(self, status: u16) -> Self {
        self.is("status", status)
    }

    /// The errno that nginx got.
    pub fn errno(self, errno: i32) -> Self {
        self.is("errno", errno)
    }

    /// Whether a retry succeeded.
    pub fn recovered(self, recovered: bool) -> Self {
        self.is("recovered", recovered)
    }

    /// Whether the connection had carried a request before.
    pub fn reused(self, reused: bool) -> Self {
        self.is("reused", reused)
    }

    /// The worker.
    pub fn worker(self, pid: u32) -> Self {
        self.is("worker", pid)
    }

    /// How long the attempt took, in milliseconds.
    pub fn lasted(self, range: RangeInclusive<f64>) -> Self {
        // On a slow machine the end comes late; and nginx counts from when it last looked at the clock, which then is a
        // while before it connects.
        let early = if slow() > 1 { 0.8 } else { 1.0 };
        let range = range.start() * early..=range.end() * f64::from(slow());
        let expected = format!("{range:?} ms");
        self.check_sight("duration_ms", &expected, |got| got.as_f64().is_some_and(|got| range.contains(&got)))
    }

    /// A piece of evidence with this `what`.
    pub fn evidence(self, what: &str) -> Self {
        let expected = format!("a list with {what}");
        self.check_sight("evidence", &expected, |got| {
            got.as_array().is_some_and(|list| list.iter().any(|piece| piece["what"] == what))
        })
    }

    /// Somewhere in the evidence, this text: the name of a chain, the address of a router.
    pub fn evidence_says(self, text: &str) -> Self {
        let expected = format!("evidence that says {text}");
        self.check_sight("evidence", &expected, |got| got.to_string().contains(text))
    }

    /// This text in a field, where the kernel tells of it.
    pub fn told(self, field: &str, text: &str) -> Self {
        let expected = format!("a text with {text}");
        self.check_sight(field, &expected, |got| got.as_str().is_some_and(|got| got.contains(text)))
    }

    /// The error.log line, joined.
    pub fn joined(self, text: &str) -> Self {
        let expected = format!("a line that says {text}");
        self.check("log", &expected, |got| {
            got["message"].as_str().is_some_and(|message| message.contains(text))
        })
    }

    /// A field of the joined line.
    pub fn logged(self, field: &str, text: &str) -> Self {
        let expected = format!("a line with {field} {text}");
        self.check("log", &expected, |got| got[field] == text)
    }

    /// A field of the workload that nginx runs in.
    pub fn workload(self, field: &str, text: &str) -> Self {
        let expected = format!("a workload with {field} {text}");
        self.check("workload", &expected, |got| got[field] == text)
    }

    /// The object, if the tool ran and printed it.
    #[must_use]
    pub fn object(&self) -> Option<&Value> {
        self.object.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::Confidence::{Likely, Possible, Proven};
    use super::Confidences;

    #[test]
    fn confidences_join() {
        assert_eq!((Proven | Likely).names(), ["proven", "likely"]);
        assert_eq!(Confidences::from(Possible).names(), ["possible"]);
    }
}
