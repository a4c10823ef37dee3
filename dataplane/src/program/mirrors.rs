//! Staging of mirrors.

use std::sync::Arc;

use super::{
    effects::Effects,
    object::MirrorSpec,
    problem::Refusal,
    state::{State, check_id},
};
use crate::tables::{mirror::Mirror, next_hop::Action, slots::NextHopSlot};

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: MirrorSpec) -> Result<(), Refusal> {
    check_id("mirror.id", spec.id.into())?;
    let next_hop = state.next_hop("mirror.next_hop", spec.next_hop)?;
    if !matches!(
        state.tables.next_hop(next_hop).map(|n| &n.action),
        Some(Action::Port(_) | Action::Tunnel(_))
    ) {
        let message = format!("next hop {} is neither a port nor a tunnel", spec.next_hop);
        return Err(Refusal::invalid("mirror.next_hop", message));
    }
    let before = state.mirrors.get(&spec.id).cloned();
    state.next_hop_uses.add(next_hop.index());
    if let Some((_, old)) = &before {
        state.next_hop_uses.remove(old.next_hop.index());
    }
    let mirror = Mirror::new(&spec, next_hop, before.as_ref().map(|(_, old)| &**old));
    effects.mirrors.insert(spec.id);
    state.mirrors.insert(spec.id, (Arc::new(spec), Arc::new(mirror)));
    Ok(())
}

pub(super) fn delete(state: &mut State, id: u32) -> Result<(), Refusal> {
    let Some((spec, mirror)) = state.mirrors.get(&id).cloned() else {
        return Ok(());
    };
    let uses = state.mirror_uses.count(id);
    if uses > 0 {
        let message = format!("{uses} ports have mirror {id} ({}); take it from them first", spec.name);
        return Err(Refusal::in_use("mirror", message));
    }
    let next_hop: NextHopSlot = mirror.next_hop;
    state.next_hop_uses.remove(next_hop.index());
    state.mirrors.remove(&id);
    Ok(())
}
