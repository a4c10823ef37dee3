//! The terminal: taken over, drawn on, listened to, and given back however this ends.

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyModifiers};
use ratatui::DefaultTerminal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_stream::StreamExt as _;

use super::{model::Model, view};
use crate::failure::Failure;

/// A terminal that is ours until this is dropped, or the process panics.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    events: EventStream,
    terminate: Signal,
    ended: bool,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    pub(super) fn start() -> Result<Self, Failure> {
        let terminate = signal(SignalKind::terminate())?;
        let terminal = ratatui::try_init()?;
        Ok(Self {
            terminal,
            events: EventStream::new(),
            terminate,
            ended: false,
        })
    }

    /// Draws; only what is not as before is written.
    pub(super) fn draw(&mut self, model: &Model) -> Result<(), Failure> {
        self.terminal.draw(|canvas| view::draw(canvas, model))?;
        Ok(())
    }

    /// The next key, or change of size. To be told to end is as good as Ctrl-C.
    pub(super) async fn event(&mut self) -> Result<Event, Failure> {
        let end = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        tokio::select! {
            event = self.events.next() => Ok(event.transpose()?.unwrap_or(end)),
            _ = self.terminate.recv() => Ok(end),
        }
    }

    /// Gives the terminal back.
    pub(super) fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            ratatui::restore();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}
