//! Links: the veth pair of a container, and the interface inside it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd as _,
    path::Path,
};

use rtnetlink::{
    Handle, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressHeaderFlags},
        link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
};
use tokio_stream::{Stream, StreamExt as _};

use super::{
    Addressing, Error,
    netns::{Netns, netlink},
};

/// A veth pair to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The end in this process's namespace, for the router.
    pub host: String,
    /// The other end.
    pub peer: String,
    /// The other end's MAC address.
    pub mac: [u8; 6],
    /// Largest packet of both ends, bytes.
    pub mtu: u32,
    /// What is noted at the host's end for people: `ip link` shows it. May be empty.
    pub alias: String,
}

/// A link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Number in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// MAC address; empty when it has none.
    pub mac: Vec<u8>,
    /// Largest packet, bytes.
    pub mtu: u32,
    /// It is set up.
    pub up: bool,
    /// What was noted with it.
    pub alias: String,
    /// Of a veth: the other end's number, in the other end's namespace.
    pub peer: Option<u32>,
}

/// A default route, or one to a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub to: IpAddr,
    /// Length of its prefix; 0: everything.
    pub length: u8,
    /// By whom.
    pub gateway: IpAddr,
}

/// What an interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The link.
    pub link: Link,
    /// Its addresses with prefix lengths; of IPv6 also the link-local one.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Routes with a gateway over it, in the main table.
    pub routes: Vec<Route>,
}

/// Makes a veth pair: the other end in `netns`, or beside it. The host's end is up, has no addresses and no IPv6. Both ends exist or neither does.
///
/// # Errors
/// [`Error::Kernel`]; `AlreadyExists` when either name is taken.
pub async fn create_pair(pair: &Pair, netns: Option<&Netns>) -> Result<(), Error> {
    let mut peer = LinkUnspec::new_with_name(&pair.peer)
        .mtu(pair.mtu)
        .address(pair.mac.to_vec());
    // The descriptor has to live until the kernel has read the message.
    let held = netns.map(|netns| netns.file().try_clone()).transpose();
    let held = held.map_err(|e| Error::kernel("a descriptor", e))?;
    if let Some(file) = &held {
        peer = peer.setns_by_fd(file.as_raw_fd());
    }
    let message = LinkVeth::new(&pair.host, &pair.peer)
        .mtu(pair.mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
        .build();
    let Pair { host, alias, .. } = pair.clone();
    let what = format!("making the link {host}");
    netlink(None, move |handle| async move {
        let made = handle.link().add(message).execute().await;
        drop(held);
        made.map_err(|e| kernel(what.clone(), e))?;
        let up = async {
            // Before it is up, or it would speak.
            sysctl(&host, "disable_ipv6", "1")?;
            let mut change = LinkUnspec::new_with_name(&host).up();
            if !alias.is_empty() {
                change = change.alias(alias);
            }
            let change = handle.link().set(change.build());
            change.execute().await.map_err(|e| kernel(what, e))
        };
        let done: Result<(), Error> = up.await;
        if done.is_err() {
            // Half a link is none.
            let _ = remove(&handle, &host).await;
        }
        done
    })
    .await
}

/// Removes a link of this process's namespace, and so the other end of a veth; whether it was there.
///
/// # Errors
/// [`Error::Kernel`].
pub async fn remove_link(name: &str) -> Result<bool, Error> {
    let name = name.to_owned();
    netlink(None, move |handle| async move { remove(&handle, &name).await }).await
}

/// A link, in a namespace or in this process's own.
///
/// # Errors
/// [`Error::Kernel`], [`Error::Namespace`].
pub async fn link(name: &str, netns: Option<&Netns>) -> Result<Option<Link>, Error> {
    let name = name.to_owned();
    netlink(netns, move |handle| async move { find(&handle, &name).await }).await
}

/// The links of this process's namespace whose alias begins with `prefix`.
///
/// # Errors
/// [`Error::Kernel`].
pub async fn links_with_alias(prefix: &str) -> Result<Vec<Link>, Error> {
    let prefix = prefix.to_owned();
    netlink(None, move |handle| async move {
        let all = collect("listing links", handle.link().get().execute()).await?;
        let all = all.iter().map(read).filter(|link| link.alias.starts_with(&prefix));
        Ok(all.collect())
    })
    .await
}

/// Sets an interface inside a container up: addresses that are usable at once, and routes. What is there already stays. A default route that
/// leads elsewhere stays, too, and is not replaced; whether each of `routes` leads over this interface now.
///
/// # Errors
/// [`Error::Kernel`], [`Error::Namespace`].
pub async fn configure(
    netns: &Netns,
    name: &str,
    addresses: &[Addressing],
    routes: &[Route],
) -> Result<Vec<bool>, Error> {
    let (name, addresses, routes) = (name.to_owned(), addresses.to_vec(), routes.to_vec());
    netlink(Some(netns), move |handle| async move {
        let missing = || kernel_io(format!("configuring {name}"), io::ErrorKind::NotFound.into());
        let link = find(&handle, &name).await?.ok_or_else(missing)?;
        if addresses.iter().any(|a| a.address.is_ipv6()) {
            sysctl(&name, "disable_ipv6", "0")?;
        }
        // Addresses are the router's to give, and unique by it: nobody has to be asked, and no advertisement to be awaited.
        for setting in ["accept_dad", "dad_transmits", "accept_ra", "router_solicitations"] {
            sysctl(&name, setting, "0")?;
        }
        for one in &addresses {
            let mut request = handle.address().add(link.index, one.address, one.length).replace();
            if one.address.is_ipv6() {
                request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            }
            let what = || format!("adding {}/{} to {name}", one.address, one.length);
            request.execute().await.map_err(|e| kernel(what(), e))?;
        }
        let up = handle.link().set(LinkUnspec::new_with_index(link.index).up().build());
        up.execute()
            .await
            .map_err(|e| kernel(format!("setting {name} up"), e))?;
        let mut done = Vec::with_capacity(routes.len());
        for route in &routes {
            done.push(add_route(&handle, &name, link.index, route).await?);
        }
        Ok(done)
    })
    .await
}

/// What an interface inside a container has; `None`: there is no such interface.
///
/// # Errors
/// [`Error::Kernel`], [`Error::Namespace`].
pub async fn configured(netns: &Netns, name: &str) -> Result<Option<Configured>, Error> {
    let name = name.to_owned();
    netlink(Some(netns), move |handle| async move {
        let Some(link) = find(&handle, &name).await? else {
            return Ok(None);
        };
        let what = format!("listing addresses of {name}");
        let all = handle.address().get().set_link_index_filter(link.index).execute();
        let mut addresses = Vec::new();
        for message in collect(&what, all).await? {
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let plain = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            addresses.extend(local.or(plain).map(|address| (address, message.header.prefix_len)));
        }
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            routes.extend(list_routes(&handle, family, link.index).await?);
        }
        Ok(Some(Configured {
            link,
            addresses,
            routes,
        }))
    })
    .await
}

async fn add_route(handle: &Handle, name: &str, index: u32, route: &Route) -> Result<bool, Error> {
    let what = || {
        format!(
            "adding a route to {}/{} by {} over {name}",
            route.to, route.length, route.gateway
        )
    };
    let message = match (route.to, route.gateway) {
        (IpAddr::V4(to), IpAddr::V4(gateway)) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, route.length)
            .gateway(gateway)
            .output_interface(index)
            .onlink()
            .build(),
        (IpAddr::V6(to), IpAddr::V6(gateway)) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, route.length)
            .gateway(gateway)
            .output_interface(index)
            .onlink()
            .build(),
        _ => return Err(kernel_io(what(), io::ErrorKind::InvalidInput.into())),
    };
    let family = message.header.address_family;
    match handle.route().add(message).execute().await {
        Ok(()) => Ok(true),
        Err(error) => match kernel(what(), error) {
            Error::Kernel { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                Ok(list_routes(handle, family, index).await?.contains(route))
            }
            error => Err(error),
        },
    }
}

async fn list_routes(handle: &Handle, family: AddressFamily, index: u32) -> Result<Vec<Route>, Error> {
    let mut filter = RouteMessage::default();
    filter.header.address_family = family;
    let all = collect("listing routes", handle.route().get(filter).execute()).await?;
    Ok(all.iter().filter_map(|message| read_route(message, index)).collect())
}

fn read_route(message: &RouteMessage, index: u32) -> Option<Route> {
    const MAIN: u8 = 254;
    let (mut to, mut gateway, mut over) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(index) => over = Some(*index),
            _ => {}
        }
    }
    let gateway = gateway.filter(|_| over == Some(index) && message.header.table == MAIN)?;
    let everything = match gateway {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Some(Route {
        to: to.unwrap_or(everything),
        length: message.header.destination_prefix_length,
        gateway,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

async fn remove(handle: &Handle, name: &str) -> Result<bool, Error> {
    let Some(link) = find(handle, name).await? else {
        return Ok(false);
    };
    match handle.link().del(link.index).execute().await {
        Ok(()) => Ok(true),
        Err(error) => match kernel(format!("removing the link {name}"), error) {
            // Its other end went meanwhile, and took it along.
            Error::Kernel { source, .. } if is_gone(&source) => Ok(false),
            error => Err(error),
        },
    }
}

async fn find(handle: &Handle, name: &str) -> Result<Option<Link>, Error> {
    let what = format!("looking for the link {name}");
    match collect(&what, handle.link().get().match_name(name).execute()).await {
        Ok(found) => Ok(found.first().map(read)),
        Err(Error::Kernel { source, .. }) if is_gone(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: Vec::new(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        alias: String::new(),
        peer: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac.clone_from(mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::Link(peer) => link.peer = Some(*peer),
            _ => {}
        }
    }
    link
}

async fn collect<T>(what: &str, stream: impl Stream<Item = Result<T, rtnetlink::Error>>) -> Result<Vec<T>, Error> {
    let mut stream = std::pin::pin!(stream);
    let mut all = Vec::new();
    while let Some(one) = stream.next().await {
        all.push(one.map_err(|e| kernel(what, e))?);
    }
    Ok(all)
}

/// Writes an interface's IPv6 setting, in the namespace of this thread. Where the kernel has no IPv6, there is nothing to set.
fn sysctl(name: &str, setting: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(name).join(setting);
    match fs::write(&path, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(kernel_io(path.display().to_string(), error)),
        _ => Ok(()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ENODEV)
}

fn kernel(what: impl Into<String>, error: rtnetlink::Error) -> Error {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    Error::kernel(what, source)
}

fn kernel_io(what: impl Into<String>, source: io::Error) -> Error {
    Error::kernel(what, source)
}
