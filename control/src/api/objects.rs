//! The RPCs of the kinds that were made of one mould: groups, policies, routers, floating addresses, services, QoS profiles, mirrors.

use prost_types::FieldMask;
use tonic::{Response, Status};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service},
    status,
};
use crate::{
    intent::{self, Rules},
    model::{GroupSpec, Invalid, Mask, Object, Wish},
    reconcile::Board,
    state::State,
};

/// A kind as the API shows it.
pub(super) trait Shown: Rules {
    /// Its message.
    type Message;

    /// The object, with what is derived for it.
    fn show(state: &State, board: &Board, object: &Object<Self>) -> Self::Message;
}

impl Service {
    pub(super) async fn create<K>(&self, wish: Result<Wish<K>, Invalid>) -> Answer<K::Message>
    where
        K: Shown,
    {
        let wish = wish.map_err(status::invalid)?;
        let made = self.transact(|t| intent::create(t, wish)).await?;
        Ok(self.shown(&made))
    }

    pub(super) async fn update<K>(&self, wish: Result<Wish<K>, Invalid>, mask: Option<FieldMask>) -> Answer<K::Message>
    where
        K: Shown,
    {
        let mask = Mask::new(mask, K::FIELDS).map_err(status::invalid)?;
        let wish = wish.map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update(t, wish, &mask)).await?;
        Ok(self.shown(&made))
    }

    pub(super) fn get<K: Shown>(&self, id: &K::Id) -> Answer<K::Message> {
        let state = self.store.state();
        let found = state.object::<K>(id).ok_or_else(|| {
            // The key says the same in words: "group web".
            let what = K::key(id.clone()).to_string();
            Status::not_found(format!("name: there is no {what}"))
        })?;
        Ok(Response::new(K::show(&state, &self.board, found)))
    }

    /// The objects that `of` picks, and the revision as of which.
    pub(super) fn list<K: Shown>(&self, of: impl Fn(&Object<K>) -> bool) -> (Vec<K::Message>, u64) {
        let state = self.store.state();
        let picked = state.objects::<K>().filter(|o| of(o));
        let shown = picked.map(|o| K::show(&state, &self.board, o)).collect();
        (shown, state.revision())
    }

    pub(super) async fn delete<K>(&self, id: K::Id) -> Result<bool, Status>
    where
        K: Shown,
        K::Id: Send + 'static,
    {
        self.transact(move |t| intent::delete::<K>(t, &id)).await
    }

    pub(super) async fn do_create_group(&self, request: pb::CreateGroupRequest) -> Answer<pb::Group> {
        let wish = Wish::<GroupSpec>::from_proto(request.group).map_err(status::invalid)?;
        let allow = request.allow_unknown_labels;
        let made = self.transact(move |t| intent::create_group(t, wish, allow)).await?;
        Ok(self.shown(&made))
    }

    pub(super) async fn do_update_group(&self, request: pb::UpdateGroupRequest) -> Answer<pb::Group> {
        use crate::model::Spec as _;
        let mask = Mask::new(request.update_mask, GroupSpec::FIELDS).map_err(status::invalid)?;
        let wish = Wish::<GroupSpec>::from_proto(request.group).map_err(status::invalid)?;
        let allow = request.allow_unknown_labels;
        let made = self
            .transact(move |t| intent::update_group(t, wish, &mask, allow))
            .await?;
        Ok(self.shown(&made))
    }

    pub(super) fn shown<K: Shown>(&self, object: &Object<K>) -> Response<K::Message> {
        Response::new(K::show(&self.store.state(), &self.board, object))
    }
}
