//! HTTP as far as tests ask for it: one request, one connection, the whole answer.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::netns::Netns;

/// Longest silence of a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a path from inside a namespace. Gives status and body.
///
/// # Errors
/// When nobody answers, or not with HTTP.
pub fn get(netns: &Netns, server: SocketAddr, path: &str, headers: &[&str]) -> Result<(u16, String)> {
    let mut stream = netns.enter(|| TcpStream::connect_timeout(&server, PATIENCE))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    // 1.0: the answer is not in chunks, and ends with the connection.
    let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n{lines}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the headers")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// As [`get`], where only success will do.
///
/// # Errors
/// When it is none.
pub fn ok(netns: &Netns, server: SocketAddr, path: &str) -> Result<String> {
    let (status, body) = get(netns, server, path, &[])?;
    ensure!(status == 200, "{path} at {server}: {status} {body}");
    Ok(body)
}
