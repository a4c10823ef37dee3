//! Commands about the tables of one `vrouterd`. One file for each kind of object; numbers are always shown with their names.

pub(crate) mod bridge;
pub(crate) mod flow;
pub(crate) mod label;
pub(crate) mod mac;
pub(crate) mod names;
pub(crate) mod neighbor;
pub(crate) mod nexthop;
pub(crate) mod port;
pub(crate) mod route;
pub(crate) mod vni;
pub(crate) mod vrf;

use clap::Args;
use vrouter_proto::dataplane::{self as api, object};

use self::names::Names;
use crate::{cli::Context, failure::Failure, filter::Filter, listing::ListArgs, output::Record};

/// Flags of lists of objects that belong to a VRF.
#[derive(Args, Debug)]
pub(crate) struct VrfListArgs {
    /// Only of this VRF: short for --match vrf=...
    #[arg(long, value_name = "NAME|ID")]
    vrf: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

impl VrfListArgs {
    fn filter<R: Record>(&self) -> Result<Filter<R>, Failure> {
        let mut filter = self.list.filter()?;
        if let Some(vrf) = &self.vrf {
            filter.and("vrf", vrf)?;
        }
        Ok(filter)
    }
}

/// What a dataplane holds, of the kinds that were asked for, all of one revision.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) ports: Vec<api::Port>,
    pub(crate) vrfs: Vec<api::Vrf>,
    pub(crate) bridges: Vec<api::Bridge>,
    pub(crate) next_hops: Vec<api::NextHop>,
    pub(crate) routes: Vec<api::Route>,
    pub(crate) macs: Vec<api::Mac>,
    pub(crate) neighbors: Vec<api::Neighbor>,
    pub(crate) vnis: Vec<api::Vni>,
    pub(crate) labels: Vec<api::Label>,
}

impl Tables {
    /// Dumps `kinds`. Kinds whose names are to be resolved must be among them.
    pub(crate) async fn fetch(context: &Context, kinds: &[api::Kind]) -> Result<Self, Failure> {
        Self::fetch_within(context, kinds, 0).await
    }

    /// Dumps `kinds`, routes only of VRF `vrf` unless it is 0.
    pub(crate) async fn fetch_within(context: &Context, kinds: &[api::Kind], vrf: u32) -> Result<Self, Failure> {
        let request = api::DumpRequest {
            kinds: kinds.iter().copied().map(i32::from).collect(),
            vrf,
        };
        let mut chunks = context.dataplane().await?.dump(request).await?.into_inner();
        let mut tables = Self::default();
        while let Some(chunk) = chunks.message().await? {
            for object in chunk.objects {
                tables.add(object);
            }
        }
        Ok(tables)
    }

    fn add(&mut self, object: api::Object) {
        match object.object {
            Some(object::Object::Port(it)) => self.ports.push(it),
            Some(object::Object::Vrf(it)) => self.vrfs.push(it),
            Some(object::Object::Bridge(it)) => self.bridges.push(it),
            Some(object::Object::NextHop(it)) => self.next_hops.push(it),
            Some(object::Object::Route(it)) => self.routes.push(it),
            Some(object::Object::Mac(it)) => self.macs.push(it),
            Some(object::Object::Neighbor(it)) => self.neighbors.push(it),
            Some(object::Object::Vni(it)) => self.vnis.push(it),
            Some(object::Object::Label(it)) => self.labels.push(it),
            // A kind that this program does not show, or does not know.
            Some(_) | None => {}
        }
    }

    /// Names of all that was dumped.
    pub(crate) fn names(&self) -> Names {
        Names::new(self)
    }
}

/// The one object of `records` that is numbered or named `wanted`; a number goes before a name.
fn pick<R: Record>(
    records: impl IntoIterator<Item = R>,
    wanted: &str,
    noun: &str,
    identity: impl for<'a> Fn(&'a R) -> (u64, &'a str),
) -> Result<R, Failure> {
    let number = wanted.parse::<u64>().ok();
    let mut named = Vec::new();
    for record in records {
        let (id, name) = identity(&record);
        if number == Some(id) {
            return Ok(record);
        }
        if name == wanted {
            named.push(record);
        }
    }
    match named.len() {
        0 => Err(Failure::Missing(format!("no {noun} is named or numbered {wanted}"))),
        1 => named
            .pop()
            .ok_or_else(|| Failure::Missing(format!("no {noun} is named or numbered {wanted}"))),
        several => {
            let numbers: Vec<_> = named.iter().map(|record| identity(record).0.to_string()).collect();
            Err(Failure::Missing(format!(
                "{several} {} are named {wanted}: show one by its number ({})",
                R::NOUNS,
                numbers.join(", ")
            )))
        }
    }
}

/// Those of `records` that match; none is an error, since somebody asked for a certain one.
fn several<R: Record>(records: impl Iterator<Item = R>, filter: &Filter<R>, none: &str) -> Result<Vec<R>, Failure> {
    let found: Vec<R> = records.filter(|record| filter.matches(record)).collect();
    if found.is_empty() {
        return Err(Failure::Missing(none.to_owned()));
    }
    Ok(found)
}
