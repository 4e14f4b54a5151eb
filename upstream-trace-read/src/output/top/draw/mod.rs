//! From the model to the cells of a terminal, however narrow.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};
use upstream_trace_core::event::{Nanos, Upstream};
use upstream_trace_core::verdict::Verdict;

use super::history::BARS;
use super::keys::{Choice, Page};
use super::model::{Key, Model, Row as Found};
use crate::output::block::Kind;
use crate::output::layout::{NBSP, TextLayout};
use crate::output::{about, escape, number};

/// Columns of the terminal from which on rate and time are shown.
const WITH_TIMES: u16 = 60;
/// Fewer bars than these are not worth their room.
const MIN_BARS: u16 = 20;
/// Causes and upstreams are as wide as the longest one that is shown, within these bounds.
const CAUSE: (u16, u16) = (12, 30);
const UPSTREAM: (u16, u16) = (10, 48);
/// Lines of pending attempts at most, as a part of the height.
const PENDING_PART: usize = 3;

/// Draws everything; `colour` if the terminal is to have some. Corrects what is selected.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, choice: &mut Choice, colour: bool) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    frame.render_widget(heading(model, choice, head.width), head);
    match choice.page {
        Page::Evidence(scrolled) => evidence(frame, body, model, choice, scrolled),
        Page::Text => {
            let lines = plain(model, choice, usize::from(body.height));
            frame.render_widget(Paragraph::new(lines.join("\n")), body);
        }
        Page::Table | Page::Filter => table(frame, body, model, choice, colour),
    }
    frame.render_widget(Line::from(footing(choice)).style(dim()), foot);
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn heading(model: &Model, choice: &Choice, width: u16) -> Text<'static> {
    let host = escape(&model.host.hostname).into_owned();
    let paused = if choice.paused { "  PAUSED" } else { "" };
    let first = format!(
        "upstream-trace {}  {host}  {}  {}{paused}",
        model.host.version,
        number::plural(model.host.workers.len() as u64, "worker"),
        model.clock.time(model.now),
    );
    let unshown = if model.unshown > 0 { format!("  not shown {}", model.unshown) } else { String::new() };
    let numbers =
        format!("failures {}  pending {}  lost {}{unshown}", model.failures, model.pending.len(), model.lost);
    let note = model.notes.back().map(|(_, text)| format!("  {}", escape(text))).unwrap_or_default();
    let room = usize::from(width).saturating_sub(numbers.chars().count());
    let note: String = note.chars().take(room).collect();
    Text::from(vec![Line::from(first).style(bold()), Line::from(numbers + &note)])
}

fn footing(choice: &Choice) -> String {
    match choice.page {
        Page::Filter => format!("filter: {}_   Enter: keep  Esc: remove", choice.filter),
        Page::Evidence(_) => "Esc: back  arrows: scroll".to_owned(),
        Page::Table | Page::Text => {
            let filter =
                if choice.filter.is_empty() { String::new() } else { format!(" [{}]", choice.filter) };
            format!(
                "q: quit  Enter: evidence  /: filter{filter}  s: sort [{}]  p: pause  t: text",
                choice.order.name()
            )
        }
    }
}

/// A line of the table.
enum Shown<'a> {
    Waiting(&'a Verdict),
    Failed(&'a Key, &'a Found),
}

/// Pending attempts above, as many as fit a part of the height; then causes.
fn shown<'a>(model: &'a Model, choice: &Choice, height: usize) -> Vec<Shown<'a>> {
    let waiting = model.waiting(&choice.filter);
    let most = (height / PENDING_PART).max(1);
    let failed = model.sorted(&choice.filter, choice.order);
    let waiting = waiting.into_iter().take(most).map(Shown::Waiting);
    waiting.chain(failed.into_iter().map(|(key, row)| Shown::Failed(key, row))).collect()
}

/// Text of each column; a line has so many bars.
fn cells(model: &Model, line: &Shown<'_>, bars: usize) -> [String; 6] {
    match line {
        Shown::Waiting(verdict) => {
            let waits = model.now.saturating_sub(verdict.since);
            let since = model.clock.time(verdict.since);
            [
                format!("pending: {}", verdict.cause),
                place(Some(verdict), verdict.upstream.as_ref()),
                String::new(),
                seconds(waits),
                since,
                String::new(),
            ]
        }
        Shown::Failed((cause, upstream), row) => [
            (*cause).to_owned(),
            place(row.verdicts.back().map(|verdict| &**verdict), upstream.as_ref()),
            format!("{:.1}/s", row.history.rate()),
            number::count(row.total),
            model.clock.time(row.last),
            row.history.line(bars),
        ],
    }
}

/// The upstream, with the group that nginx's configuration has for it.
fn place(verdict: Option<&Verdict>, upstream: Option<&Upstream>) -> String {
    let group = verdict.and_then(|verdict| about::group(&verdict.details));
    about::named(group, upstream).replace(NBSP, " ")
}

fn seconds(time: Nanos) -> String {
    format!("{:.1} s", time as f64 / 1e9)
}

/// A column: its place in [`cells`], its heading, its width.
type Column = (usize, &'static str, u16);

/// Columns that there is room for; the bars get what the others leave.
fn columns(width: u16, lines: &[[String; 6]]) -> Vec<Column> {
    let widest = |index: usize, (least, most): (u16, u16)| {
        let longest = lines.iter().map(|cells| cells[index].chars().count()).max().unwrap_or(0);
        u16::try_from(longest).unwrap_or(most).clamp(least, most)
    };
    let times = width >= WITH_TIMES;
    let mut columns = vec![(0, "CAUSE", widest(0, CAUSE)), (1, "UPSTREAM", widest(1, UPSTREAM))];
    columns.extend(times.then_some((2, "   RATE", 7)));
    columns.push((3, "  TOTAL", 7));
    columns.extend(times.then_some((4, "LAST", 8)));
    let taken: u16 = columns.iter().map(|(.., width)| width + 1).sum();
    let left = width.saturating_sub(taken).min(u16::try_from(BARS).unwrap_or(MIN_BARS));
    columns.extend((times && left >= MIN_BARS).then_some((5, "LAST MINUTE", left)));
    columns
}

/// The text of a column; numbers stand at its right.
fn cell((index, _, width): Column, cells: &[String; 6]) -> Cell<'static> {
    let text = &cells[index];
    let width = usize::from(width);
    Cell::from(if matches!(index, 2 | 3) { format!("{text:>width$}") } else { text.clone() })
}

fn table(frame: &mut Frame<'_>, area: Rect, model: &Model, choice: &mut Choice, colour: bool) {
    let lines = shown(model, choice, usize::from(area.height));
    choice.selected = choice.selected.min(lines.len().saturating_sub(1));
    let without_bars: Vec<_> = lines.iter().map(|line| cells(model, line, 0)).collect();
    let columns = columns(area.width, &without_bars);
    let bars = columns.iter().find(|(index, ..)| *index == 5).map_or(0, |(.., width)| usize::from(*width));
    let rows = lines.iter().map(|line| {
        let cells = cells(model, line, bars);
        let style = match line {
            Shown::Waiting(_) if colour => Style::new().fg(Color::Yellow),
            Shown::Failed(_, row) if colour && row.recovered < row.total && !row.history.is_flat() => {
                Style::new().fg(Color::Red)
            }
            _ => Style::new(),
        };
        Row::new(columns.iter().map(|column| cell(*column, &cells))).style(style)
    });
    let whole = if model.whole { "WHOLE RECORDING" } else { "LAST MINUTE" };
    let header = columns.iter().map(|(index, name, _)| if *index == 5 { whole } else { name });
    let table = Table::new(rows, columns.iter().map(|(.., width)| Constraint::Length(*width)))
        .header(Row::new(header).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected((!lines.is_empty()).then_some(choice.selected));
    frame.render_stateful_widget(table, area, &mut state);
    if lines.is_empty() && area.height > 2 {
        let text = if choice.filter.is_empty() { "no failed attempts" } else { "nothing fits the filter" };
        let below = Rect { y: area.y + 2, height: 1, ..area };
        frame.render_widget(Line::from(text).style(dim()), below);
    }
}

/// The table as lines of text.
pub(super) fn plain(model: &Model, choice: &Choice, height: usize) -> Vec<String> {
    let lines = shown(model, choice, height);
    let of = |line| {
        let [cause, place, rate, total, last, _] = cells(model, line, 0);
        format!("{cause}  {place}  {rate}  {total}  {last}").trim_end().to_owned()
    };
    lines.iter().map(of).collect()
}

/// What is known of the selected line: the latest attempts, newest first, as on a terminal without colours.
fn evidence(frame: &mut Frame<'_>, area: Rect, model: &Model, choice: &mut Choice, scrolled: u16) {
    let lines = shown(model, choice, usize::from(area.height));
    let page = TextLayout { width: usize::from(area.width).clamp(20, 100), colour: false };
    let block = |verdict: &Verdict, kind| page.block(model.clock, verdict, kind);
    let text: String = match lines.get(choice.selected) {
        Some(Shown::Waiting(verdict)) => block(verdict, Kind::Pending),
        Some(Shown::Failed(_, row)) => {
            row.verdicts.iter().rev().map(|verdict| block(verdict, Kind::Failure)).collect()
        }
        None => "it is not there any more\n".to_owned(),
    };
    let most = u16::try_from(text.lines().count()).unwrap_or(u16::MAX).saturating_sub(1);
    let scrolled = scrolled.min(most);
    choice.page = Page::Evidence(scrolled);
    frame.render_widget(Paragraph::new(text).scroll((scrolled, 0)), area);
}

#[cfg(test)]
mod tests;
