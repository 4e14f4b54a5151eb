//! What the tool said in a run, and what is asked of it.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::expect::Expected;
use crate::limits::{LEFT_OUT, Limit};

/// Where the tool says that runs of hooks were left out.
const HOOK_RUNS: &str = "hook-runs";
/// As many may be in a scenario, of those that a stand-in does not get: without stand-ins it is hundreds.
const MOST_LEFT_OUT: u64 = 20;

/// Every object that the tool printed.
#[derive(Debug)]
pub struct Seen<'lab> {
    lab: &'lab Lab,
    /// `None` if the tool did not run.
    objects: Option<Vec<Value>>,
    /// Places of the failures that no scenario has asked for.
    open: RefCell<Vec<usize>>,
}

impl<'lab> Seen<'lab> {
    /// Without the tool: every question is answered by nothing.
    #[must_use]
    pub fn nothing(lab: &'lab Lab) -> Self {
        Self { lab, objects: None, open: RefCell::default() }
    }

    /// Reads the lines; complains about one that is no object with a type, and about a missing begin or end.
    #[must_use]
    pub fn new(lab: &'lab Lab, lines: &[(Duration, String)]) -> Self {
        let mut objects = Vec::new();
        for (_, line) in lines {
            match serde_json::from_str::<Value>(line) {
                Ok(value) if value["type"].is_string() => objects.push(value),
                _ => lab.complain(format!("not an object with a type: {line}")),
            }
        }
        let kind = |value: Option<&Value>| value.map(|value| value["type"].clone()).unwrap_or_default();
        lab.check(kind(objects.first()) == "start", || "the first line is not `start`".into());
        lab.check(kind(objects.last()) == "summary", || "the last line is not `summary`".into());
        let failures = objects.iter().enumerate().filter(|(_, value)| value["type"] == "failure");
        lab.tabulate(|row| failures.clone().for_each(|(_, failure)| row.failure(failure)));
        let open = RefCell::new(failures.map(|(index, _)| index).collect());
        objects.iter().filter(|value| value["type"] == "failure").for_each(|failure| lab.saw(failure));
        Self { lab, objects: Some(objects), open }
    }

    /// All objects of a type.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().flatten().filter(move |value| value["type"] == kind)
    }

    /// A failure with this cause that was not asked for before.
    pub fn failure(&self, cause: &str) -> Expected<'lab> {
        self.failure_of(&[cause])
    }

    /// A failure with one of these causes: where the evidence cannot tell them apart.
    pub fn failure_of(&self, causes: &[&str]) -> Expected<'lab> {
        let name = format!("failure {}", causes.join(" or "));
        let Some(objects) = &self.objects else { return Expected::unchecked(self.lab, name) };
        if let Some(limit) = self.lab.limit() {
            return self.failure_within(limit, causes, &name);
        }
        let mut open = self.open.borrow_mut();
        let fits =
            |index: &usize| objects[*index]["cause"].as_str().is_some_and(|cause| causes.contains(&cause));
        let place = open.iter().position(fits);
        let value = place.map(|place| objects[open.remove(place)].clone());
        Expected::new(self.lab, name, value)
    }

    /// The same on a kernel that cannot show all of it: one of the causes, less sure and with less evidence perhaps, or
    /// else one that the limit names, which then may not be called proven.
    fn failure_within(&self, limit: &'static Limit, causes: &[&str], name: &str) -> Expected<'lab> {
        let objects = self.objects.as_deref().unwrap_or_default();
        let mut open = self.open.borrow_mut();
        let named = |value: &Value, list: &[&str]| value.as_str().is_some_and(|cause| list.contains(&cause));
        if let Some(place) = open.iter().position(|index| named(&objects[*index]["cause"], causes)) {
            let value = objects[open.remove(place)].clone();
            return Expected::new(self.lab, name.to_owned(), Some(value)).lenient(limit);
        }
        let fits = |index: &usize| {
            named(&objects[*index]["cause"], limit.instead) && objects[*index]["confidence"] != "proven"
        };
        let found = open.iter().position(fits).map(|place| open.remove(place));
        let name = [&[name], limit.instead].concat().join(" or ");
        self.lab.check(found.is_some() || limit.unseen, || format!("missing: {name}"));
        self.lab.excuse();
        Expected::unchecked(self.lab, name)
    }

    /// So many failures with this cause.
    pub fn failures(&self, count: usize, cause: &str, check: impl Fn(Expected<'lab>)) {
        for _ in 0..count {
            check(self.failure(cause));
        }
    }

    /// A `pending` line with this cause, whenever it came.
    pub fn pending(&self, cause: &str) -> Expected<'lab> {
        let name = format!("pending {cause}");
        if self.objects.is_none() {
            return Expected::unchecked(self.lab, name);
        }
        let found = self.of_type("pending").find(|value| value["cause"] == cause).cloned();
        self.within_limit(self.lab.expect_sight(name, found))
    }

    /// Runs of hooks that were left out, if that is this machine's doing.
    fn left_out(&self) -> u64 {
        let summary = self.of_type("summary").next().filter(|_| (LEFT_OUT.holds)());
        let count = summary.and_then(|summary| summary["lost_by_place"][HOOK_RUNS].as_u64());
        count.filter(|count| *count <= MOST_LEFT_OUT).unwrap_or(0)
    }

    fn within_limit(&self, expected: Expected<'lab>) -> Expected<'lab> {
        let left_out = || Some(&LEFT_OUT).filter(|_| self.left_out() > 0);
        match self.lab.limit().or_else(left_out) {
            Some(limit) => expected.lenient(limit),
            None => expected,
        }
    }

    /// No failure beyond those asked for, nothing lost, and a summary that agrees.
    pub fn nothing_else(&self) {
        self.no_more_failures();
        self.adds_up();
    }

    /// No failure beyond those asked for; something may have been lost.
    pub fn no_more_failures(&self) {
        let Some(objects) = &self.objects else { return };
        for value in self.open.borrow().iter().map(|index| &objects[*index]) {
            let (cause, upstream, summary) = (&value["cause"], &value["upstream"], &value["summary"]);
            self.lab.complain(format!("a failure too many: {cause} {upstream} {summary}"));
        }
    }

    /// Nothing was lost, and the summary agrees with the failures.
    pub fn adds_up(&self) {
        if self.objects.is_none() {
            return;
        }
        let left_out = self.left_out();
        // Lines of what was left out do no harm if the summary counts the same.
        let lost = self.of_type("lost").any(|lost| left_out == 0 || lost["where"] != HOOK_RUNS);
        self.lab.check(!lost, || "events were lost".into());
        let count = self.of_type("failure").count();
        let summary = self.summary();
        self.lab.check(summary["failures"] == count, || {
            format!("the summary counts {} failures, there are {count} lines", summary["failures"])
        });
        self.lab
            .check(summary["lost"] == left_out, || format!("the summary counts {} lost", summary["lost"]));
        self.accounted_for();
        let by_cause: u64 = summary["by_cause"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["count"].as_u64())
            .sum();
        self.lab.check(by_cause == count as u64, || {
            format!("by_cause of the summary adds up to {by_cause}, there are {count} failures")
        });
    }

    /// Whether the tool ran.
    #[must_use]
    pub fn ran(&self) -> bool {
        self.objects.is_some()
    }

    /// Every attempt that the kernel side began is in exactly one of its sums.
    pub fn accounted_for(&self) {
        if self.objects.is_some() {
            let accounts = &self.summary()["accounts"];
            self.lab.check(accounts["missing"] == 0, || format!("attempts do not add up: {accounts}"));
        }
    }

    /// No pending line either.
    pub fn nothing_at_all(&self) {
        self.nothing_else();
        for value in self.of_type("pending") {
            self.lab
                .complain(format!("pending, and nothing is wrong: {} {}", value["cause"], value["upstream"]));
        }
    }

    /// The last object.
    #[must_use]
    pub fn summary(&self) -> Value {
        self.of_type("summary").last().cloned().unwrap_or_default()
    }

    /// Checks a number of the summary. It may be wrong by what an emulated machine left out.
    pub fn counted(&self, field: &str, expected: u64) {
        if self.objects.is_some() {
            let got = &self.summary()[field];
            let is_near = got.as_u64().is_some_and(|got| got.abs_diff(expected) <= self.left_out());
            if *got != expected && (self.lab.may_differ(field) || is_near) {
                return;
            }
            self.lab.check(*got == expected, || format!("summary.{field} is {got}, not {expected}"));
        }
    }
}
