//! What a person has chosen to see: panel, order, filter. Keys change it; no terminal is known here.

use std::{cmp::Ordering, time::Duration};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    flows::FlowRates,
    frame::{DropRates, Frame, PortRates, WorkerRates},
};

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    All,
    Ports,
    Flows,
    Drops,
    Workers,
}

/// What an event asks of those who know servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    NextNode,
}

/// A column to sort by.
pub(super) struct Order<T> {
    pub(super) name: &'static str,
    compare: fn(&T, &T) -> Ordering,
}

/// Numbers: largest first. Names: in their order.
pub(super) const PORT_ORDERS: [Order<PortRates>; 6] = [
    Order {
        name: "RX BIT/S",
        compare: |a, b| b.rx_bits_per_second.total_cmp(&a.rx_bits_per_second),
    },
    Order {
        name: "TX BIT/S",
        compare: |a, b| b.tx_bits_per_second.total_cmp(&a.tx_bits_per_second),
    },
    Order {
        name: "RX PACKETS/S",
        compare: |a, b| b.rx_packets_per_second.total_cmp(&a.rx_packets_per_second),
    },
    Order {
        name: "TX PACKETS/S",
        compare: |a, b| b.tx_packets_per_second.total_cmp(&a.tx_packets_per_second),
    },
    Order {
        name: "DROPS/S",
        compare: |a, b| b.drops_per_second.total_cmp(&a.drops_per_second),
    },
    Order {
        name: "PORT",
        compare: |a, b| a.name.cmp(&b.name),
    },
];

pub(super) const FLOW_ORDERS: [Order<FlowRates>; 3] = [
    Order {
        name: "BIT/S",
        compare: |a, b| b.bits_per_second.total_cmp(&a.bits_per_second),
    },
    Order {
        name: "PACKETS/S",
        compare: |a, b| b.packets_per_second.total_cmp(&a.packets_per_second),
    },
    Order {
        name: "SOURCE",
        compare: |a, b| a.source.cmp(&b.source),
    },
];

#[derive(Debug)]
pub(super) struct Model {
    pub(super) interval: Duration,
    pub(super) frame: Frame,
    pub(super) panel: Panel,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) scroll: usize,
    pub(super) trouble: String,
    ports_by: usize,
    flows_by: usize,
    turned: bool,
}

impl Model {
    pub(super) fn new(interval: Duration, filter: String) -> Self {
        Self {
            interval,
            frame: Frame::default(),
            panel: Panel::All,
            paused: false,
            help: false,
            filter,
            typing: false,
            scroll: 0,
            trouble: String::new(),
            ports_by: 0,
            flows_by: 0,
            turned: false,
        }
    }

    /// Takes what happened, unless it stands still.
    pub(super) fn show(&mut self, frame: Frame) {
        self.trouble.clear();
        if !self.paused {
            self.frame = frame;
        }
    }

    /// Keeps what was seen last, and says why it is old.
    pub(super) fn fail(&mut self, why: &str) {
        self.trouble = why.lines().next().unwrap_or_default().to_owned();
    }

    /// Another node is next.
    pub(super) fn forget(&mut self) {
        self.frame = Frame::default();
        self.paused = false;
        self.scroll = 0;
        self.trouble = "connecting ...".to_owned();
    }

    pub(super) fn port_order(&self) -> &'static Order<PortRates> {
        &PORT_ORDERS[self.ports_by % PORT_ORDERS.len()]
    }

    pub(super) fn flow_order(&self) -> &'static Order<FlowRates> {
        &FLOW_ORDERS[self.flows_by % FLOW_ORDERS.len()]
    }

    /// What an event changes, and what it asks for.
    pub(super) fn handle(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            // Drawn anew in any case.
            _ => Wish::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') {
                Wish::Quit
            } else {
                Wish::Nothing
            };
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => {
                    self.typing = false;
                    self.filter.clear();
                }
                KeyCode::Backspace => {
                    self.filter.pop();
                }
                KeyCode::Char(character) => self.filter.push(character),
                _ => {}
            }
            self.scroll = 0;
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('n') | KeyCode::Tab => return Wish::NextNode,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') if self.panel == Panel::Flows => self.flows_by = (self.flows_by + 1) % FLOW_ORDERS.len(),
            KeyCode::Char('s') => self.ports_by = (self.ports_by + 1) % PORT_ORDERS.len(),
            KeyCode::Char('r') => self.turned = !self.turned,
            KeyCode::Char(digit @ '0'..='4') => {
                self.panel = match digit {
                    '1' => Panel::Ports,
                    '2' => Panel::Flows,
                    '3' => Panel::Drops,
                    '4' => Panel::Workers,
                    _ => Panel::All,
                };
                self.scroll = 0;
            }
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        Wish::Nothing
    }

    fn wants(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&filter))
    }

    fn sorted<'a, T>(&self, all: &'a [T], order: fn(&T, &T) -> Ordering, wanted: impl Fn(&T) -> bool) -> Vec<&'a T> {
        let mut rows: Vec<&T> = all.iter().filter(|one| wanted(one)).collect();
        rows.sort_by(|a, b| if self.turned { order(b, a) } else { order(a, b) });
        rows
    }

    /// Ports that are wanted, in the order that was chosen.
    pub(super) fn ports(&self) -> Vec<&PortRates> {
        self.sorted(&self.frame.ports, self.port_order().compare, |port| {
            self.wants(&[&port.name])
        })
    }

    /// Flows, likewise.
    pub(super) fn flows(&self) -> Vec<&FlowRates> {
        self.sorted(&self.frame.flows, self.flow_order().compare, |flow| {
            self.wants(&[&flow.source, &flow.destination, &flow.protocol, &flow.drop_reason])
        })
    }

    /// Drops, those of now first.
    pub(super) fn drops(&self) -> Vec<&DropRates> {
        self.sorted(
            &self.frame.drops,
            |a, b| {
                let now = b.packets_per_second.total_cmp(&a.packets_per_second);
                now.then(b.packets.cmp(&a.packets))
            },
            |drop| self.wants(&[&drop.reason]),
        )
    }

    /// Workers, in their order.
    pub(super) fn workers(&self) -> &[WorkerRates] {
        &self.frame.workers
    }
}
