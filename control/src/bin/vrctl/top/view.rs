//! Draws what was chosen on whatever ratatui can draw on.

use ratatui::{
    Frame as Canvas, Terminal,
    backend::TestBackend,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table},
};

use super::{
    flows::FlowRates,
    frame::{DropRates, PortRates, WorkerRates},
    model::{Model, Panel},
};
use crate::telemetry::rates::scaled;

/// Size of a frame printed as text.
const TEXT: (u16, u16) = (110, 40);

/// Draws all of it.
pub(super) fn draw(canvas: &mut Canvas<'_>, model: &Model) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]).areas(canvas.area());
    header(canvas, head, model);
    match model.panel {
        Panel::All => all(canvas, body, model),
        Panel::Ports => ports(canvas, body, model, model.scroll),
        Panel::Flows => flows(canvas, body, model, model.scroll),
        Panel::Drops => drops(canvas, body, model, model.scroll),
        Panel::Workers => workers(canvas, body, model, model.scroll),
    }
    footer(canvas, foot, model);
    if model.help {
        help(canvas);
    }
}

/// One frame as text, without spaces at the ends of lines.
pub(super) fn text(model: &Model) -> String {
    // Memory as a terminal: nothing of it can fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(TEXT.0, TEXT.1));
    let Ok(_) = terminal.draw(|canvas| draw(canvas, model));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in 0..TEXT.1 - 1 {
        let line: String = (0..TEXT.0)
            .filter_map(|column| buffer.cell((column, row)))
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn header(canvas: &mut Canvas<'_>, area: Rect, model: &Model) {
    let frame = &model.frame;
    let totals = &frame.totals;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut first = vec![
        Span::styled(format!("{} ", frame.node), bold),
        Span::raw(format!(
            "revision {}  flows {}/{} (+{}/s)  frames free {}/{}",
            frame.revision,
            totals.flows,
            totals.flow_capacity,
            scaled(totals.flows_created_per_second),
            totals.frames_free,
            totals.frames
        )),
    ];
    if model.paused {
        first.push(Span::styled("  PAUSED", bold.fg(Color::Yellow)));
    }
    let drops = Style::new().fg(if totals.drops_per_second > 0.0 {
        Color::Red
    } else {
        Color::Reset
    });
    let second = if model.trouble.is_empty() {
        Line::from(vec![
            Span::raw(format!(
                "in {} pps {} bps  out {} pps {} bps  ",
                scaled(totals.rx_packets_per_second),
                scaled(totals.rx_bits_per_second),
                scaled(totals.tx_packets_per_second),
                scaled(totals.tx_bits_per_second),
            )),
            Span::styled(format!("drops {}/s", scaled(totals.drops_per_second)), drops),
        ])
    } else {
        Line::styled(model.trouble.clone(), bold.fg(Color::Red))
    };
    canvas.render_widget(Paragraph::new(vec![Line::from(first), second]), area);
}

fn footer(canvas: &mut Canvas<'_>, area: Rect, model: &Model) {
    let line = if model.typing {
        format!("filter: {}_   (Enter keeps it, Esc drops it)", model.filter)
    } else {
        let filter = match model.filter.as_str() {
            "" => String::new(),
            filter => format!("  [filter: {filter}]"),
        };
        format!("q quit  ? help  0-4 panels  s sort  r turn  / filter  n node  space pause{filter}")
    };
    let style = Style::new().add_modifier(Modifier::REVERSED);
    canvas.render_widget(Paragraph::new(line).style(style), area);
}

fn all(canvas: &mut Canvas<'_>, area: Rect, model: &Model) {
    let [upper, middle, lower] = Layout::vertical([
        Constraint::Percentage(42),
        Constraint::Percentage(33),
        Constraint::Percentage(25),
    ])
    .areas(area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(lower);
    ports(canvas, upper, model, model.scroll);
    flows(canvas, middle, model, 0);
    drops(canvas, left, model, 0);
    workers(canvas, right, model, 0);
}

fn block(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

/// A table: headings, widths, and the rows from `scroll` on. Numbers stand at the right.
fn table(
    canvas: &mut Canvas<'_>,
    area: Rect,
    title: String,
    columns: &[(&'static str, Constraint, bool)],
    rows: Vec<(Vec<String>, Style)>,
    scroll: usize,
) {
    let align = |text: String, number: bool| {
        let line = Line::from(text);
        Cell::from(if number { line.right_aligned() } else { line })
    };
    let heading = columns
        .iter()
        .map(|(name, _, number)| align((*name).to_owned(), *number));
    let heading = Row::new(heading).style(Style::new().add_modifier(Modifier::BOLD));
    // The last page stays full.
    let fit = usize::from(area.height.saturating_sub(2));
    let skip = scroll.min(rows.len().saturating_sub(fit));
    let rows = rows.into_iter().skip(skip).take(fit.max(1)).map(|(cells, style)| {
        let cells = cells.into_iter().zip(columns);
        Row::new(cells.map(|(text, (_, _, number))| align(text, *number))).style(style)
    });
    let table = Table::new(rows, columns.iter().map(|(_, width, _)| *width))
        .header(heading)
        .block(block(title));
    canvas.render_widget(table, area);
}

const BAD: Style = Style::new().fg(Color::Red);

fn ports(canvas: &mut Canvas<'_>, area: Rect, model: &Model, scroll: usize) {
    let all = model.ports();
    let rows = all.iter().map(|port: &&PortRates| {
        let style = if port.drops_per_second > 0.0 { BAD } else { Style::new() };
        let cells = vec![
            port.name.clone(),
            scaled(port.rx_packets_per_second),
            scaled(port.rx_bits_per_second),
            scaled(port.tx_packets_per_second),
            scaled(port.tx_bits_per_second),
            scaled(port.drops_per_second),
            port.flows.to_string(),
        ];
        (cells, style)
    });
    let title = format!("Ports ({}), by {} ", all.len(), model.port_order().name);
    let number = Constraint::Length(9);
    let columns = [
        ("PORT", Constraint::Min(16), false),
        ("RX PKT/S", number, true),
        ("RX BIT/S", number, true),
        ("TX PKT/S", number, true),
        ("TX BIT/S", number, true),
        ("DROPS/S", number, true),
        ("FLOWS", Constraint::Length(8), true),
    ];
    table(canvas, area, title, &columns, rows.collect(), scroll);
}

fn flows(canvas: &mut Canvas<'_>, area: Rect, model: &Model, scroll: usize) {
    let all = model.flows();
    let rows = all.iter().map(|flow: &&FlowRates| {
        let style = if flow.drop_reason.is_empty() { Style::new() } else { BAD };
        let state = if flow.drop_reason.is_empty() {
            &flow.state
        } else {
            &flow.drop_reason
        };
        let cells = vec![
            flow.protocol.clone(),
            flow.source.clone(),
            flow.destination.clone(),
            scaled(flow.packets_per_second),
            scaled(flow.bits_per_second),
            state.clone(),
        ];
        (cells, style)
    });
    let title = format!("Flows that move ({}), by {} ", all.len(), model.flow_order().name);
    let columns = [
        ("PROTO", Constraint::Length(6), false),
        ("SOURCE", Constraint::Min(15), false),
        ("DESTINATION", Constraint::Min(15), false),
        ("PKT/S", Constraint::Length(9), true),
        ("BIT/S", Constraint::Length(9), true),
        ("STATE", Constraint::Length(13), false),
    ];
    table(canvas, area, title, &columns, rows.collect(), scroll);
}

fn drops(canvas: &mut Canvas<'_>, area: Rect, model: &Model, scroll: usize) {
    let rows = model.drops().into_iter().map(|drop: &DropRates| {
        let style = if drop.packets_per_second > 0.0 {
            BAD
        } else {
            Style::new()
        };
        let cells = vec![
            drop.reason.clone(),
            scaled(drop.packets_per_second),
            drop.packets.to_string(),
        ];
        (cells, style)
    });
    let columns = [
        ("REASON", Constraint::Min(12), false),
        ("PKT/S", Constraint::Length(8), true),
        ("PACKETS", Constraint::Length(10), true),
    ];
    table(canvas, area, "Drops ".to_owned(), &columns, rows.collect(), scroll);
}

fn workers(canvas: &mut Canvas<'_>, area: Rect, model: &Model, scroll: usize) {
    let rows = model.workers().iter().map(|worker: &WorkerRates| {
        let cpu = if worker.cpu < 0 {
            "any".to_owned()
        } else {
            worker.cpu.to_string()
        };
        let style = if worker.busy > 0.9 {
            Style::new().fg(Color::Yellow)
        } else {
            Style::new()
        };
        let cells = vec![
            worker.worker.to_string(),
            cpu,
            format!("{:.0} %", worker.busy * 100.0),
            scaled(worker.turns_per_second),
            scaled(worker.sleeps_per_second),
            worker.batch_p50.to_string(),
        ];
        (cells, style)
    });
    let columns = [
        ("W", Constraint::Length(3), true),
        ("CPU", Constraint::Length(4), true),
        ("BUSY", Constraint::Length(6), true),
        ("TURNS/S", Constraint::Length(9), true),
        ("SLEEPS/S", Constraint::Length(9), true),
        ("BATCH", Constraint::Length(5), true),
    ];
    table(canvas, area, "Workers ".to_owned(), &columns, rows.collect(), scroll);
}

const HELP: &[&str] = &[
    "0  all          1  ports       2  flows",
    "3  drops        4  workers",
    "s  sort by the next column     r  turn the order round",
    "/  filter by name, address or reason",
    "n  next node    space  pause   arrows  scroll",
    "?  this help    q, Ctrl-C  quit",
];

fn help(canvas: &mut Canvas<'_>) {
    let whole = canvas.area();
    let (width, height) = (60.min(whole.width), (HELP.len() as u16 + 2).min(whole.height));
    let area = Rect {
        x: (whole.width - width) / 2,
        y: (whole.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(*line)).collect();
    canvas.render_widget(Clear, area);
    canvas.render_widget(Paragraph::new(lines).block(Block::bordered().title("Keys")), area);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
