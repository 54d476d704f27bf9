//! What a host needs of a network: the non-blocking verbs of its nodes' sockets, and to be woken.

use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

use heptad_runtime::Network;
use heptad_runtime::lab::MachineId;
use heptad_runtime::lab::topology::NodeKind;
use heptad_runtime::stack::l4_transport::tcp::{Info, Status};
use heptad_runtime::stack::l4_transport::udp::{Choices, Received, Reported, Way};
use heptad_runtime::stack::stack::{Link, Membership, SocketDetail, SocketOption};
use heptad_runtime::stack::{
    Counters, Family, Medium, Ready, Shutdown, SocketError, SocketId, SocketKind, Stack,
};

use super::tables::{Settings, Tables};

/// A socket of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The node.
    pub machine: MachineId,
    /// The socket there.
    pub socket: SocketId,
}

/// A port of a node, as the interface requests of `netdevice(7)` show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// From 1.
    pub index: u32,
    /// Its first address of IPv4 and the prefix length, if it has one: these requests speak of no others.
    pub address: Option<(IpAddr, u8)>,
    /// Largest network packet, bytes.
    pub mtu: u32,
    /// Its link address.
    pub mac: [u8; 6],
    /// It is `lo`.
    pub loopback: bool,
}

/// What a read of a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// How many; 0: the end.
    pub count: usize,
    /// It is the urgent byte (MSG_OOB).
    pub urgent: bool,
}

impl Bytes {
    /// So many of the usual kind.
    pub fn usual(count: usize) -> Self {
        Self {
            count,
            urgent: false,
        }
    }

    /// The urgent byte, put into `out`.
    pub fn urgent(byte: u8, out: &mut [u8]) -> Self {
        let room = out.first_mut().map(|first| *first = byte);
        Self {
            count: usize::from(room.is_some()),
            urgent: true,
        }
    }
}

/// The verbs, as [`heptad_runtime::stack::Stack`] describes them: none blocks. [`Network`] has them.
pub trait Sockets: Send + 'static {
    /// `Stack::socket`.
    ///
    /// # Errors
    /// As the stack's, here and below.
    fn open(&self, machine: MachineId, family: Family, kind: SocketKind)
    -> Result<At, SocketError>;
    /// `Stack::bind`.
    ///
    /// # Errors
    /// As the stack's.
    fn bind(&self, at: At, local: SocketAddr) -> Result<(), SocketError>;
    /// `Stack::listen`.
    ///
    /// # Errors
    /// As the stack's.
    fn listen(&self, at: At, backlog: u32) -> Result<(), SocketError>;
    /// `Stack::connect`.
    ///
    /// # Errors
    /// As the stack's.
    fn connect(&self, at: At, remote: SocketAddr) -> Result<(), SocketError>;
    /// `Stack::disconnect`.
    ///
    /// # Errors
    /// As the stack's.
    fn disconnect(&self, at: At) -> Result<(), SocketError>;
    /// `Stack::accept`.
    ///
    /// # Errors
    /// As the stack's.
    fn accept(&self, at: At) -> Result<(At, SocketAddr), SocketError>;
    /// `Stack::unaccept`.
    fn unaccept(&self, listener: At, accepted: At);
    /// `Stack::send`.
    ///
    /// # Errors
    /// As the stack's.
    fn send(&self, at: At, data: &[u8]) -> Result<usize, SocketError>;
    /// `Stack::recv_for`; at the mark the urgent byte instead, and no other.
    ///
    /// # Errors
    /// As the stack's.
    fn recv(&self, at: At, behind: u32, out: &mut [u8]) -> Result<Bytes, SocketError>;
    /// `Stack::send_urgent`.
    ///
    /// # Errors
    /// As the stack's.
    fn send_urgent(&self, at: At, data: &[u8]) -> Result<usize, SocketError>;
    /// `Stack::send_message`.
    ///
    /// # Errors
    /// As the stack's.
    fn send_message(
        &self,
        at: At,
        data: &[u8],
        remote: SocketAddr,
        choices: &Choices,
    ) -> Result<usize, SocketError>;
    /// `Stack::recv_message`.
    ///
    /// # Errors
    /// As the stack's.
    fn recv_message(&self, at: At, out: &mut [u8]) -> Result<Received, SocketError>;
    /// `Stack::refuse_datagram`.
    fn refuse_datagram(&self, at: At, from: (SocketAddr, &Way), data: &[u8]);
    /// `Stack::recv_error`.
    fn recv_error(&self, at: At) -> Option<Reported>;
    /// `Stack::shutdown`.
    ///
    /// # Errors
    /// As the stack's.
    fn shutdown(&self, at: At, how: Shutdown) -> Result<(), SocketError>;
    /// `Stack::close`.
    fn close(&self, at: At);
    /// `Stack::set`.
    ///
    /// # Errors
    /// As the stack's.
    fn set(&self, at: At, option: SocketOption) -> Result<(), SocketError>;
    /// `Stack::get`.
    ///
    /// # Errors
    /// As the stack's.
    fn get(&self, at: At, which: SocketOption) -> Result<SocketOption, SocketError>;
    /// `Stack::change_membership`.
    ///
    /// # Errors
    /// As the stack's.
    fn change_membership(
        &self,
        at: At,
        group: (Link, IpAddr),
        asked: Membership,
    ) -> Result<(), SocketError>;
    /// `Stack::socket_mtu`.
    ///
    /// # Errors
    /// As the stack's.
    fn socket_mtu(&self, at: At) -> Result<u32, SocketError>;
    /// `Stack::take_error`.
    fn take_error(&self, at: At) -> Option<SocketError>;
    /// `Stack::ready`.
    fn ready(&self, at: At) -> Ready;
    /// `Stack::local_addr`.
    ///
    /// # Errors
    /// As the stack's.
    fn local(&self, at: At) -> Result<SocketAddr, SocketError>;
    /// `Stack::peer_addr`.
    ///
    /// # Errors
    /// As the stack's.
    fn peer(&self, at: At) -> Result<SocketAddr, SocketError>;
    /// `Stack::tcp_status`.
    fn status(&self, at: At) -> Option<Status>;
    /// `Stack::tcp_info`.
    fn tcp_info(&self, at: At) -> Option<Info>;
    /// `Network::register`.
    fn register(&self, at: At, interest: Ready, waker: &Waker);
    /// `Network::watch`.
    fn watch(&self, at: At, waker: &Waker);
    /// How many connections wait at a listener.
    fn waiting(&self, at: At) -> u32;
    /// `Network::deregister`.
    fn deregister(&self, at: At);
    /// The addresses of a node of this name; none if there is no such node.
    fn addresses_of(&self, name: &str) -> Vec<IpAddr>;
    /// The nodes that have addresses, with their names and these.
    fn names(&self) -> Vec<(MachineId, String, Vec<IpAddr>)>;
    /// The name of the node that owns an address.
    fn name_of(&self, address: IpAddr) -> Option<String>;
    /// Whether a way leads from a node to the network of the machine around.
    fn has_way_out(&self, machine: MachineId) -> bool;
    /// Whether a datagram socket of the node is bound to this port.
    fn datagrams_at(&self, machine: MachineId, port: u16) -> bool;
    /// The ports of a node.
    fn interfaces(&self, machine: MachineId) -> Vec<Interface>;
    /// The tables of a node below its sockets.
    fn tables(&self, machine: MachineId) -> Tables;
    /// What a node has counted.
    fn counters(&self, machine: MachineId) -> Counters;
    /// How a node is set up.
    fn settings(&self, machine: MachineId) -> Settings;
    /// `Stack::details`.
    fn details(&self, machine: MachineId) -> Vec<SocketDetail>;
}

impl Sockets for Network {
    fn open(
        &self,
        machine: MachineId,
        family: Family,
        kind: SocketKind,
    ) -> Result<At, SocketError> {
        self.with(machine, |stack, _| stack.socket(family, kind))
            .map(|socket| At { machine, socket })
    }
    fn bind(&self, at: At, local: SocketAddr) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.bind(at.socket, local, cx))
    }
    fn listen(&self, at: At, backlog: u32) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.listen(at.socket, backlog, cx))
    }
    fn connect(&self, at: At, remote: SocketAddr) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.connect(at.socket, remote, cx))
    }
    fn disconnect(&self, at: At) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.disconnect(at.socket, cx))
    }
    fn accept(&self, at: At) -> Result<(At, SocketAddr), SocketError> {
        let (socket, peer) = self.with(at.machine, |stack, cx| stack.accept(at.socket, cx))?;
        Ok((
            At {
                machine: at.machine,
                socket,
            },
            peer,
        ))
    }
    fn unaccept(&self, listener: At, accepted: At) {
        self.with(listener.machine, |stack, cx| {
            stack.unaccept(listener.socket, accepted.socket, cx)
        });
    }
    fn send(&self, at: At, data: &[u8]) -> Result<usize, SocketError> {
        self.with(at.machine, |stack, cx| stack.send(at.socket, data, cx))
    }
    fn recv(&self, at: At, behind: u32, out: &mut [u8]) -> Result<Bytes, SocketError> {
        self.with(at.machine, |stack, cx| {
            if stack.is_at_mark(at.socket)
                && let Ok(Some(byte)) = stack.recv_urgent(at.socket, false, cx)
            {
                return Ok(Bytes::urgent(byte, out));
            }
            let count = stack.recv_for(at.socket, behind, out, cx)?;
            Ok(Bytes::usual(count))
        })
    }
    fn send_urgent(&self, at: At, data: &[u8]) -> Result<usize, SocketError> {
        self.with(at.machine, |stack, cx| {
            stack.send_urgent(at.socket, data, cx)
        })
    }
    fn send_message(
        &self,
        at: At,
        data: &[u8],
        remote: SocketAddr,
        choices: &Choices,
    ) -> Result<usize, SocketError> {
        self.with(at.machine, |stack, cx| {
            stack.send_message(at.socket, data, (Some(remote), choices), cx)
        })
    }
    fn recv_message(&self, at: At, out: &mut [u8]) -> Result<Received, SocketError> {
        self.with(at.machine, |stack, cx| {
            stack.recv_message(at.socket, out, cx)
        })
    }
    fn refuse_datagram(&self, at: At, from: (SocketAddr, &Way), data: &[u8]) {
        self.with(at.machine, |stack, cx| {
            stack.refuse_datagram(at.socket, from, data, cx);
        });
    }
    fn recv_error(&self, at: At) -> Option<Reported> {
        self.with(at.machine, |stack, cx| stack.recv_error(at.socket, cx))
    }
    fn shutdown(&self, at: At, how: Shutdown) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.shutdown(at.socket, how, cx))
    }
    fn close(&self, at: At) {
        self.with(at.machine, |stack, cx| stack.close(at.socket, cx));
    }
    fn set(&self, at: At, option: SocketOption) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| stack.set(at.socket, option, cx))
    }
    fn get(&self, at: At, which: SocketOption) -> Result<SocketOption, SocketError> {
        self.with(at.machine, |stack, _| stack.get(at.socket, which))
    }
    fn change_membership(
        &self,
        at: At,
        group: (Link, IpAddr),
        asked: Membership,
    ) -> Result<(), SocketError> {
        self.with(at.machine, |stack, cx| {
            stack.change_membership(at.socket, group, asked, cx)
        })
    }
    fn socket_mtu(&self, at: At) -> Result<u32, SocketError> {
        self.with(at.machine, |stack, _| stack.socket_mtu(at.socket))
    }
    fn take_error(&self, at: At) -> Option<SocketError> {
        self.with(at.machine, |stack, _| stack.take_error(at.socket))
    }
    fn ready(&self, at: At) -> Ready {
        self.with(at.machine, |stack, _| stack.ready(at.socket))
    }
    fn local(&self, at: At) -> Result<SocketAddr, SocketError> {
        self.with(at.machine, |stack, _| stack.local_addr(at.socket))
    }
    fn peer(&self, at: At) -> Result<SocketAddr, SocketError> {
        self.with(at.machine, |stack, _| stack.peer_addr(at.socket))
    }
    fn status(&self, at: At) -> Option<Status> {
        self.with(at.machine, |stack, _| stack.tcp_status(at.socket))
    }
    fn tcp_info(&self, at: At) -> Option<Info> {
        self.with(at.machine, |stack, cx| stack.tcp_info(at.socket, cx.now))
    }
    fn register(&self, at: At, interest: Ready, waker: &Waker) {
        Network::register(self, at.machine, at.socket, interest, waker);
    }
    fn watch(&self, at: At, waker: &Waker) {
        Network::watch(self, at.machine, at.socket, waker);
    }
    fn waiting(&self, at: At) -> u32 {
        self.status(at).map_or(0, |status| status.recv_q)
    }
    fn deregister(&self, at: At) {
        Network::deregister(self, at.machine, at.socket);
    }
    fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        self.lab(|lab| lab.addresses(name))
    }
    fn names(&self) -> Vec<(MachineId, String, Vec<IpAddr>)> {
        self.lab(|lab| {
            let all = lab.machines().into_iter();
            let nodes = all.filter(|machine| machine.kind != NodeKind::Uplink);
            nodes
                .map(|machine| {
                    let addresses = lab.addresses(&machine.name);
                    (machine.id, machine.name, addresses)
                })
                .collect()
        })
    }
    fn name_of(&self, address: IpAddr) -> Option<String> {
        self.lab(|lab| {
            let owner = lab.owner(address)?;
            lab.machines()
                .into_iter()
                .find(|machine| machine.id == owner)
                .map(|machine| machine.name)
        })
    }
    fn has_way_out(&self, machine: MachineId) -> bool {
        self.lab(|lab| {
            let leads_away = |stack: &Stack| stack.routes().iter().any(|route| route.len == 0);
            !lab.uplinks().is_empty() && lab.stack(machine).is_some_and(leads_away)
        })
    }
    fn datagrams_at(&self, machine: MachineId, port: u16) -> bool {
        self.with(machine, |stack, _| {
            stack
                .rows()
                .iter()
                .any(|row| row.kind == SocketKind::Datagram && row.local.port() == port)
        })
    }
    fn interfaces(&self, machine: MachineId) -> Vec<Interface> {
        self.with(machine, |stack, _| {
            let addresses = stack.addresses();
            stack
                .ports()
                .into_iter()
                .zip(0_u32..)
                .map(|((port, _), index)| Interface {
                    name: port.name.to_string(),
                    index: index + 1,
                    address: addresses
                        .iter()
                        .find(|row| u32::from(row.0.0) == index && row.1.is_ipv4())
                        .map(|row| (row.1, row.2)),
                    mtu: port.mtu,
                    mac: match port.medium {
                        Medium::Ethernet(mac) => mac.0,
                        Medium::Ip => [0; 6],
                    },
                    loopback: index == 0,
                })
                .collect()
        })
    }
    fn tables(&self, machine: MachineId) -> Tables {
        self.with(machine, |stack, cx| Tables::of(stack, cx.now))
    }
    fn counters(&self, machine: MachineId) -> Counters {
        self.with(machine, |_, cx| cx.counters.clone())
    }
    fn settings(&self, machine: MachineId) -> Settings {
        self.with(machine, |stack, _| Settings::of(stack))
    }
    fn details(&self, machine: MachineId) -> Vec<SocketDetail> {
        self.with(machine, |stack, cx| stack.details(cx.now))
    }
}
