//! What is said of events, on paper: nothing in it may move a cursor, and JSON must be JSON.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use upstream_trace_read::output::{Json, Look, Sink, Terminal};

/// Keeps what is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("output that is no UTF-8")
    }

    /// A sink for people without colours, and one for programs, that write here.
    pub(crate) fn sinks() -> [(Self, Box<dyn Sink>); 2] {
        let look = Look { width: 80, colour: false, status_colour: false, verbose: true };
        let (people, programs) = (Self::default(), Self::default());
        let text = Terminal::new(people.clone(), people.clone(), look);
        let json = Json::new(programs.clone(), people.clone(), look);
        [(people, Box::new(text)), (programs, Box::new(json))]
    }

    /// Text for people holds nothing that a terminal obeys.
    pub(crate) fn check_text(&self) {
        let text = self.text();
        let bad = text.chars().find(|c| c.is_control() && *c != '\n');
        assert!(bad.is_none(), "{bad:?} in {text:?}");
    }

    /// Lines for programs are JSON with a type.
    pub(crate) fn check_json(&self) {
        for line in self.text().lines() {
            let value: Value = serde_json::from_str(line).expect("a line that is no JSON");
            assert!(value["type"].is_string(), "no type: {line}");
        }
    }

    /// What was written, to be compared.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
