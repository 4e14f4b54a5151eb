//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::Order;

/// What is on the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    /// The table.
    #[default]
    Table,
    /// The table as plain text without frames, for the mouse to select.
    Text,
    /// Evidence of attempts; scrolled by so many lines.
    Evidence(u16),
    /// The words of a filter are being typed.
    Filter,
}

/// What the user has chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) page: Page,
    pub(super) filter: String,
    pub(super) order: Order,
    /// Line of the table, pending ones included.
    pub(super) selected: usize,
    pub(super) paused: bool,
    pub(super) quits: bool,
}

impl Choice {
    /// Whether the key meant something.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return false;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.quits |= matches!(key.code, KeyCode::Char('c' | 'd'));
            return self.quits;
        }
        match &mut self.page {
            Page::Filter => self.typed(key.code),
            Page::Evidence(scrolled) => match key.code {
                KeyCode::Down | KeyCode::Char('j' | ' ') => *scrolled = scrolled.saturating_add(1),
                KeyCode::Up | KeyCode::Char('k') => *scrolled = scrolled.saturating_sub(1),
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => self.page = Page::Table,
                _ => return false,
            },
            Page::Table | Page::Text => return self.table(key.code),
        }
        true
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(c) if self.filter.len() < 64 => self.filter.push(c),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.page = Page::Table,
            KeyCode::Esc => {
                self.filter.clear();
                self.page = Page::Table;
            }
            _ => {}
        }
        self.selected = 0;
    }

    fn table(&mut self, code: KeyCode) -> bool {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.selected = self.selected.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Enter => self.page = Page::Evidence(0),
            KeyCode::Char('/') => self.page = Page::Filter,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('t') => {
                self.page = if self.page == Page::Text { Page::Table } else { Page::Text };
            }
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Esc if self.page == Page::Text => self.page = Page::Table,
            KeyCode::Char('q') => self.quits = true,
            _ => return false,
        }
        true
    }
}
