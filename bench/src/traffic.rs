//! What to send, packet by packet: templates in a mix of sizes, or a capture.

use crate::{
    rate::Rate,
    replay::Replay,
    sizes::Sizes,
    stamp::Stamp,
    template::{Template, TemplateError, TemplateSpec},
};

/// Packets by number, for ever.
#[derive(Debug, Clone)]
pub enum Traffic {
    /// Built here; they carry stamps.
    Mix(Mix),
    /// Captured; they are sent as they are.
    Replay(Replay),
}

/// Packets that differ in size and flow.
#[derive(Debug, Clone)]
pub struct Mix {
    /// By size.
    templates: Vec<Template>,
    /// Which of them comes when.
    turn: Vec<u16>,
}

impl Mix {
    /// Packets like `spec`, in these sizes (bytes of a frame without check sequence, before encapsulation).
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(spec: &TemplateSpec, sizes: &Sizes) -> Result<Self, TemplateError> {
        let templates = sizes.sizes().map(|size| Template::new(&TemplateSpec { size, ..*spec }));
        Ok(Self {
            templates: templates.collect::<Result<_, _>>()?,
            turn: sizes.turn(),
        })
    }

    /// The template of a packet. Its flow turns by number, too; a mix of sizes moves on by one each turn of its own, so that
    /// sizes and flows that have a common measure meet in all ways.
    fn template(&self, number: u64) -> Option<&Template> {
        let template = match self.turn.len() as u64 {
            0 | 1 => 0,
            turn => *self.turn.get((mixed(number, turn)) as usize)?,
        };
        self.templates.get(usize::from(template))
    }
}

/// The place in a turn of packet `number`: each turn starts one place further on than the last.
fn mixed(number: u64, turn: u64) -> u64 {
    (number % turn + number / turn) % turn
}

impl Traffic {
    /// Bytes of the longest frame.
    pub fn longest(&self) -> usize {
        match self {
            Self::Mix(mix) => mix.templates.iter().map(Template::frame_len).max().unwrap_or(0),
            Self::Replay(replay) => (0..replay.count()).map(|n| replay.packet(n).len()).max().unwrap_or(0),
        }
    }

    /// Bytes of a frame.
    pub fn len(&self, number: u64) -> usize {
        match self {
            Self::Mix(mix) => mix.template(number).map_or(0, Template::frame_len),
            Self::Replay(replay) => replay.packet(number).len(),
        }
    }

    /// Packets after which all sizes come again: at least one.
    fn turn(&self) -> u64 {
        match self {
            Self::Mix(mix) => mix.turn.len().max(1) as u64,
            Self::Replay(replay) => replay.count(),
        }
    }

    /// What a packet takes of a rate, on average.
    pub fn mean_cost(&self, rate: Rate) -> f64 {
        let turn = self.turn();
        let sum: u64 = (0..turn).map(|number| rate.cost(self.len(number))).sum();
        sum as f64 / turn as f64
    }

    /// Writes a packet to the start of `buffer` and gives its length; zero when the buffer is too small.
    pub fn write(&self, buffer: &mut [u8], number: u64, stamp: Stamp) -> usize {
        match self {
            Self::Mix(mix) => mix
                .template(number)
                .map_or(0, |template| template.write(buffer, number, stamp)),
            Self::Replay(replay) => {
                let packet = replay.packet(number);
                buffer.get_mut(..packet.len()).map_or(0, |place| {
                    place.copy_from_slice(packet);
                    packet.len()
                })
            }
        }
    }

    /// When a packet is due, nanoseconds after packet 0; none: whenever the rate says.
    pub fn recorded_time(&self, number: u64) -> Option<u64> {
        match self {
            Self::Mix(_) => None,
            Self::Replay(replay) => Some(replay.time(number)),
        }
    }

    /// Do the packets carry stamps?
    pub fn is_stamped(&self) -> bool {
        matches!(self, Self::Mix(_))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        flows::{FlowSpec, Flows, Order},
        template::Proto,
    };
    use std::collections::HashSet;
    use vrouter_dataplane::wire::Mac;

    /// Packets between two addresses, in so many flows.
    pub(crate) fn traffic(src: &str, dst: &str, sizes: &str, flows: u32) -> Traffic {
        let flows = Flows::new(&FlowSpec {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            sport: "1".parse().unwrap(),
            dport: "1".parse().unwrap(),
            flows: Some(flows),
            order: Order::RoundRobin,
        })
        .unwrap();
        let spec = TemplateSpec {
            to_mac: Mac::BROADCAST,
            from_mac: Mac([2; 6]),
            flows,
            proto: Proto::Udp,
            size: 0,
            outer: None,
        };
        Traffic::Mix(Mix::new(&spec, &sizes.parse().unwrap()).unwrap())
    }

    #[test]
    fn a_mix_has_its_sizes_in_every_turn_and_in_every_flow() {
        let traffic = traffic("10.0.0.1", "10.0.0.2", "simple", 12);
        let len = |turn: u64| (0..12).map(|n| traffic.len(turn * 12 + n)).sum::<usize>();
        assert_eq!((len(0), len(7)), (7 * 60 + 4 * 590 + 1514, len(0)));
        assert_eq!(traffic.mean_cost(Rate::Packets(1)), 1.0);
        let l2 = f64::from(7 * 64 + 4 * 594 + 1518) * 8.0 / 12.0;
        assert!((traffic.mean_cost(Rate::L2Bits(1)) - l2).abs() < 1e-9);
        assert_eq!(traffic.longest(), 1514);
        let sizes_of_flow_5: HashSet<_> = (0..12).map(|turn| traffic.len(turn * 12 + 5)).collect();
        assert_eq!(sizes_of_flow_5.len(), 3);
    }

    #[test]
    fn what_is_written_is_as_long_as_it_says() {
        let traffic = traffic("2001:db8::1", "2001:db8::2", "80:1,200:2,1000:1", 3);
        let mut buffer = [0; 2048];
        let stamp = Stamp {
            stream: 0,
            sequence: 0,
            sent_at: 0,
        };
        for number in 0..50 {
            assert_eq!(traffic.write(&mut buffer, number, stamp), traffic.len(number));
        }
        assert_eq!(traffic.write(&mut buffer[..79], 0, stamp), 0);
    }
}
