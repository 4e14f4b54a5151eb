use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use upstream_trace_core::event::{AttemptId, Host, SECOND};
use upstream_trace_core::verdict::Output;

use super::*;
use crate::output::Sink as _;
use crate::output::tests::verdict;

fn model() -> Model {
    let mut model = Model::default();
    model.start(&Host { version: "1.2.3".into(), hostname: "proxy".into(), at: SECOND, ..Host::default() });
    for (count, port) in [(3, 80), (1, 81)] {
        for index in 0..count {
            let mut failed = verdict();
            failed.attempt = AttemptId::from_kernel(u64::from(port) * 100 + index);
            failed.upstream = Some(Upstream::Tcp(([10, 0, 0, 1], port).into()));
            failed.at = 2 * SECOND;
            model.output(&Output::Failure(failed));
        }
    }
    let mut waits = verdict();
    waits.attempt = AttemptId::from_kernel(1);
    waits.since = SECOND;
    model.output(&Output::Pending(waits));
    model.tick(5 * SECOND);
    model
}

fn lines(model: &Model, choice: &mut Choice, width: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, 16)).unwrap();
    terminal.draw(|frame| draw(frame, model, choice, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..16).map(|y| row(y).trim_end().to_owned()).collect()
}

fn press(choice: &mut Choice, code: KeyCode) {
    assert!(choice.key(KeyEvent::new(code, KeyModifiers::NONE)), "{code:?}");
}

#[test]
fn causes_are_listed_with_pending_ones_above() {
    let shown = lines(&model(), &mut Choice::default(), 120);
    assert!(shown[0].starts_with("upstream-trace 1.2.3  proxy"), "{shown:#?}");
    assert!(shown[1].starts_with("failures 4  pending 1  lost 0"), "{shown:#?}");
    assert!(shown[2].contains("CAUSE") && shown[2].contains("LAST MINUTE"), "{shown:#?}");
    assert!(shown[3].starts_with("pending: ") && shown[3].contains("4.0 s"), "{shown:#?}");
    assert!(shown[4].contains("10.0.0.1:80") && shown[4].contains('█'), "{shown:#?}");
    assert!(shown[5].contains("10.0.0.1:81"), "{shown:#?}");
    assert!(shown[15].starts_with("q: quit"), "{shown:#?}");
}

#[test]
fn causes_are_whole_where_there_is_room() {
    let mut model = model();
    let mut waits = verdict();
    waits.cause = "tls-handshake-failed";
    waits.attempt = AttemptId::from_kernel(2);
    model.output(&Output::Pending(waits));
    let shown = lines(&model, &mut Choice::default(), 100);
    assert!(shown.iter().any(|line| line.starts_with("pending: tls-handshake-failed ")), "{shown:#?}");
    let at = |text: &str, line: &str| line.find(text).unwrap() + text.len();
    assert_eq!(at("TOTAL", &shown[2]), at(" 3", &shown[5]), "{shown:#?}");
}

#[test]
fn narrow_terminals_have_fewer_columns() {
    let shown = lines(&model(), &mut Choice::default(), 40);
    assert!(shown[2].contains("TOTAL") && !shown[2].contains("RATE"), "{shown:#?}");
    for width in 1..30 {
        lines(&model(), &mut Choice::default(), width);
    }
}

#[test]
fn keys_filter_sort_and_open_the_evidence() {
    let (model, mut choice) = (model(), Choice::default());
    for code in [KeyCode::Char('/'), KeyCode::Char('8'), KeyCode::Char('1')] {
        press(&mut choice, code);
    }
    assert!(lines(&model, &mut choice, 100)[15].starts_with("filter: 81_"));
    press(&mut choice, KeyCode::Enter);
    let shown = lines(&model, &mut choice, 100);
    assert!(shown[3].contains("10.0.0.1:81") && !shown.concat().contains("10.0.0.1:80 "), "{shown:#?}");
    press(&mut choice, KeyCode::Enter);
    let shown = lines(&model, &mut choice, 100);
    assert!(shown[2].contains("failure") && shown.concat().contains("help:"), "{shown:#?}");
    press(&mut choice, KeyCode::Char('q'));
    press(&mut choice, KeyCode::Esc);
    press(&mut choice, KeyCode::Char('s'));
    assert!(lines(&model, &mut choice, 100)[15].contains("sort [total]"));
    press(&mut choice, KeyCode::Char('t'));
    assert!(lines(&model, &mut choice, 100)[3].contains("10.0.0.1:80  "));
    press(&mut choice, KeyCode::Char('q'));
    assert!(choice.quits);
}

#[test]
fn what_is_selected_stays_on_the_list() {
    let (model, mut choice) = (model(), Choice::default());
    for _ in 0..10 {
        press(&mut choice, KeyCode::Down);
    }
    lines(&model, &mut choice, 100);
    assert_eq!(choice.selected, 2);
}
