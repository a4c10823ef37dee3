//! Where the state keeps the kinds of object that were made of one mould.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Cursor, Key, Numbers, Record, Scoped, State};
use crate::{
    ipam::Pool,
    model::{
        FloatingIpSpec, GroupSpec, MirrorSpec, Name, Object, PolicySpec, QosProfileSpec, RouterSpec, ServiceSpec, Spec,
    },
};

/// Objects of one kind, in the order of their names.
pub(super) type Table<K> = OrdMap<<K as Kind>::Id, Arc<Object<K>>>;

/// A kind of object as the state keeps it.
pub trait Kind: Spec {
    /// What its objects are found by.
    type Id: Ord + Clone;
    /// Where the search for the next free number begins.
    const CURSOR: Cursor;

    /// What this object is found by.
    fn id(name: &Name, spec: &Self) -> Self::Id;
    /// The key of the record of that object.
    fn key(id: Self::Id) -> Key;
    /// The record of an object.
    fn record(object: Arc<Object<Self>>) -> Record;
    /// The object of a record, if it is of this kind.
    fn of_record(record: &Record) -> Option<&Arc<Object<Self>>>;
    /// The numbers in use.
    fn numbers(numbers: &Numbers) -> &Pool;
    #[doc(hidden)]
    fn numbers_mut(numbers: &mut Numbers) -> &mut Pool;
    #[doc(hidden)]
    fn table(state: &State) -> &OrdMap<Self::Id, Arc<Object<Self>>>;
    #[doc(hidden)]
    fn table_mut(state: &mut State) -> &mut OrdMap<Self::Id, Arc<Object<Self>>>;
}

macro_rules! kind {
    ($spec:ty, $id:ty, $variant:ident, $table:ident, |$name:ident, $of:ident| $make:expr) => {
        impl Kind for $spec {
            type Id = $id;
            const CURSOR: Cursor = Cursor::$variant;

            fn id($name: &Name, $of: &Self) -> $id {
                $make
            }
            fn key(id: $id) -> Key {
                Key::$variant(id)
            }
            fn record(object: Arc<Object<Self>>) -> Record {
                Record::$variant(object)
            }
            fn of_record(record: &Record) -> Option<&Arc<Object<Self>>> {
                match record {
                    Record::$variant(object) => Some(object),
                    _ => None,
                }
            }
            fn numbers(numbers: &Numbers) -> &Pool {
                &numbers.$table
            }
            fn numbers_mut(numbers: &mut Numbers) -> &mut Pool {
                &mut numbers.$table
            }
            fn table(state: &State) -> &OrdMap<$id, Arc<Object<Self>>> {
                &state.$table
            }
            fn table_mut(state: &mut State) -> &mut OrdMap<$id, Arc<Object<Self>>> {
                &mut state.$table
            }
        }
    };
}

kind!(GroupSpec, Name, Group, groups, |name, _spec| name.clone());
kind!(PolicySpec, Name, Policy, policies, |name, _spec| name.clone());
kind!(RouterSpec, Name, Router, routers, |name, _spec| name.clone());
kind!(FloatingIpSpec, Name, FloatingIp, floating_ips, |name, _spec| name
    .clone());
kind!(ServiceSpec, Scoped, Service, services, |name, spec| (
    spec.network.clone(),
    name.clone()
));
kind!(QosProfileSpec, Name, QosProfile, qos_profiles, |name, _spec| name
    .clone());
kind!(MirrorSpec, Name, Mirror, mirrors, |name, _spec| name.clone());
