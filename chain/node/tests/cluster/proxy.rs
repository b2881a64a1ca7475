//! Links between nodes that can be cut, each direction by itself.
//!
//! Nodes dial each other at proxies. Which node dialled is read off the kernel's table of sockets, since all of them
//! are on this machine. What is sent over a cut link is held back, as by a network that loses every packet: it arrives
//! late, once the link is whole, if anybody still waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

#[derive(Clone, Default)]
pub struct Network(Arc<Shared>);

#[derive(Default)]
struct Shared {
    links: Mutex<Links>,
    healed: Condvar,
}

#[derive(Default)]
struct Links {
    /// From which node to which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    /// By the address of its proxy: where a node listens, and which it is.
    nodes: BTreeMap<String, (SocketAddr, usize)>,
    pids: BTreeMap<usize, u32>,
    /// The first bytes of the connections to each node, as its dialler sent them.
    recorded: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// Bytes of a connection that are recorded.
const RECORDED_BYTES: usize = 16 << 10;

impl Network {
    pub fn new() -> Self {
        Self::default()
    }

    /// A new proxy. Nothing passes until a node is attached to it.
    pub fn listen(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (network, name) = (self.clone(), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                network.carry(stream, &name);
            }
        });
        address
    }

    pub fn attach(&self, proxy: &str, listens: &str, node: usize) {
        let target = (listens.parse().unwrap(), node);
        self.0.links.lock().unwrap().nodes.insert(proxy.to_owned(), target);
    }

    /// The proxy of a node, if it has one.
    pub fn advertised(&self, node: usize) -> Option<String> {
        let links = self.0.links.lock().unwrap();
        links.nodes.iter().find(|(_, (_, known))| *known == node).map(|(proxy, _)| proxy.clone())
    }

    pub fn is_run_by(&self, node: usize, pid: u32) {
        self.0.links.lock().unwrap().pids.insert(node, pid);
    }

    /// Cuts links: pairs of sender and receiver.
    pub fn cut(&self, links: impl IntoIterator<Item = (usize, usize)>) {
        self.0.links.lock().unwrap().cut.extend(links);
    }

    pub fn heal(&self) {
        self.0.links.lock().unwrap().cut.clear();
        self.0.healed.notify_all();
    }

    /// What was sent to a node over the connections that were dialled to it.
    pub fn recorded(&self, node: usize) -> Vec<Vec<u8>> {
        self.0.links.lock().unwrap().recorded.get(&node).cloned().unwrap_or_default()
    }

    /// Joins a connection with one to the node behind the proxy.
    fn carry(&self, near: TcpStream, proxy: &str) {
        let (target, pids) = {
            let links = self.0.links.lock().unwrap();
            (links.nodes.get(proxy).copied(), links.pids.clone())
        };
        let Some((address, to)) = target else { return };
        let Some(from) = near.peer_addr().ok().and_then(|dialler| owner(dialler, &pids)) else { return };
        let Ok(far) = TcpStream::connect(address) else { return };
        let record = {
            let mut links = self.0.links.lock().unwrap();
            let records = links.recorded.entry(to).or_default();
            records.push(Vec::new());
            (to, records.len() - 1)
        };
        let ways = [(&near, &far, (from, to), Some(record)), (&far, &near, (to, from), None)];
        for (source, sink, link, record) in ways {
            let (network, source, sink) =
                (self.clone(), source.try_clone().unwrap(), sink.try_clone().unwrap());
            sink.set_nodelay(true).unwrap();
            thread::spawn(move || network.pump(source, sink, link, record));
        }
    }

    fn pump(
        &self,
        mut source: TcpStream,
        mut sink: TcpStream,
        link: (usize, usize),
        record: Option<(usize, usize)>,
    ) {
        let mut bytes = [0; 64 << 10];
        loop {
            let count = source.read(&mut bytes).unwrap_or(0);
            let mut links = self.0.links.lock().unwrap();
            if let Some(recorded) = record.and_then(|(node, n)| links.recorded.get_mut(&node)?.get_mut(n)) {
                let room = RECORDED_BYTES.saturating_sub(recorded.len());
                recorded.extend_from_slice(&bytes[..count.min(room)]);
            }
            drop(self.0.healed.wait_while(links, |links| links.cut.contains(&link)).unwrap());
            if count == 0 || sink.write_all(&bytes[..count]).is_err() {
                let _ = sink.shutdown(Shutdown::Write);
                let _ = source.shutdown(Shutdown::Read);
                return;
            }
        }
    }
}

/// A line of the kernel's table of sockets.
struct Socket {
    local: SocketAddr,
    listens: bool,
    /// Whether bytes wait to be read.
    has_unread: bool,
    inode: String,
}

/// The IPv4 sockets of this machine.
fn sockets() -> Vec<Socket> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let parse = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let local = SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?));
        let (listens, unread) = (*fields.get(3)? == "0A", fields.get(4)?.split_once(':')?.1);
        let has_unread = !listens && u32::from_str_radix(unread, 16).ok()? > 0;
        Some(Socket { local, listens, has_unread, inode: (*fields.get(9)?).to_owned() })
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// Whether a process has a socket open.
fn has_open(pid: u32, socket: &Socket) -> bool {
    let name = format!("socket:[{}]", socket.inode);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == name.as_str())
}

/// The node whose end of a connection has this address.
fn owner(address: SocketAddr, pids: &BTreeMap<usize, u32>) -> Option<usize> {
    let socket = sockets().into_iter().find(|socket| socket.local == address && !socket.listens)?;
    pids.iter().find(|(_, pid)| has_open(**pid, &socket)).map(|(node, _)| *node)
}

/// Where a process listens.
pub fn listened_to(pid: u32) -> Vec<SocketAddr> {
    let listening = sockets().into_iter().filter(|socket| socket.listens && has_open(pid, socket));
    listening.map(|socket| socket.local).collect()
}

/// Connections to an address of which bytes wait to be read.
pub fn unread_at(address: SocketAddr) -> usize {
    sockets().into_iter().filter(|socket| socket.local == address && socket.has_unread).count()
}
