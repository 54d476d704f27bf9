//! The lab's answer, brought to the program: written into its memory, put into its descriptors, and only then told.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::calls::{self, MMSGHDR, Step};
use super::guard::{Guard, Parked, Question};
use super::interfaces::List;
use super::room::streams::{self, be_refused, close_door};
use super::{identity, netlink, options, pair, stand_in};
use crate::notify::Notification;
use crate::protocol::{Call, Outcome, SocketNumber};
use crate::{control, memory};
use heptad_runtime::stack::l5_session::sockaddr;

/// What a parked call needs from its answer.
#[derive(Debug)]
pub(super) enum Want {
    /// A number.
    Value,
    /// The end of a bind, and what to ask once more where the port may be that of a stand-in that was closed.
    Bound { again: Option<Box<Call>> },
    /// A new socket, and its ends if the guard has made them.
    Socket {
        stream: bool,
        family: u16,
        flags: i32,
        ends: Vec<OwnedFd>,
    },
    /// A listener: put in filler, so that it is not writable.
    Listening {
        end: OwnedFd,
        socket: SocketNumber,
        started: bool,
        in_room: bool,
    },
    /// The end of a connect with `AF_UNSPEC` on a stand-in.
    Dissolved { end: OwnedFd, socket: SocketNumber },
    /// The end of a connect.
    Connected { socket: SocketNumber },
    /// The end of a connect of a socket in the room, or of its dissolution.
    Associated {
        socket: SocketNumber,
        end: OwnedFd,
        connects: bool,
    },
    /// An accepted connection.
    Connection {
        listener: OwnedFd,
        family: u16,
        name: Place,
        flags: i32,
        in_room: bool,
    },
    /// An address.
    Address(Place),
    /// The end of a shutdown.
    Shut { socket: SocketNumber },
    /// The end of a setsockopt, and whether the kernel accepted it of a shadow.
    OptionSet {
        accepted: bool,
        undo: Option<options::Undo>,
    },
    /// An option, the program's end where the kernel may keep an error, and the bytes that a value must have room for.
    Option {
        place: Place,
        end: Option<OwnedFd>,
        least: usize,
    },
    /// A datagram.
    Datagram {
        /// Where its bytes go.
        spread: Vec<(u64, usize)>,
        /// Where its sender goes.
        name: Place,
        /// The `msghdr` to fill in.
        header: Option<HeaderPlace>,
        /// The call's flags.
        flags: i32,
        /// Where `recvmmsg` is.
        many: Option<Progress>,
    },
    /// What an interface answers.
    Interface { at: u64 },
    /// What all interfaces answer.
    Interfaces(List),
    /// A file, and whether it closes as a program is executed.
    File { cloexec: bool },
    /// The next datagram of `sendmmsg`.
    ManySent {
        rest: Vec<Call>,
        done: u32,
        headers: u64,
    },
}

/// Where a call of `recvmmsg` is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The `mmsghdr` that is filled in now.
    pub(super) at: u64,
    /// Those before it.
    pub(super) done: u32,
    /// Those behind it.
    pub(super) left: u32,
}

impl Progress {
    /// It is filled in: what comes next, if there is room for it.
    fn next(self) -> Option<Self> {
        Some(Self {
            at: self.at + MMSGHDR as u64,
            done: self.done + 1,
            left: self.left.checked_sub(1)?,
        })
    }
}

impl Want {
    /// How many messages of `sendmmsg` or `recvmmsg` are done.
    fn done_so_far(&self) -> u32 {
        match self {
            Self::ManySent { done, .. } => *done,
            Self::Datagram {
                many: Some(progress),
                ..
            } => progress.done,
            _ => 0,
        }
    }

    /// An option that the kernel accepted of a shadow.
    fn is_accepted_option(&self) -> bool {
        matches!(self, Self::OptionSet { accepted: true, .. })
    }
}

/// Where a program wants an address or a value: room and a length that goes both ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) length_at: u64,
}

/// A `struct msghdr` of a program that waits for a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderPlace {
    pub(super) at: u64,
    /// Bytes of room for the name.
    pub(super) name_room: u32,
    /// Where control messages go, and bytes of room for them.
    pub(super) control: (u64, u64),
}

impl HeaderPlace {
    /// Name, control messages and flags. Without room for a name its length is not touched.
    fn fill(
        self,
        thread: i32,
        (name_at, name): (u64, &[u8]),
        control: &[u8],
        flags: i32,
    ) -> Result<(), i32> {
        if name_at != 0 {
            let cut = name.get(..self.name_room as usize).unwrap_or(name);
            memory::write(thread, name_at, cut)?;
            memory::write(thread, self.at + 8, &(name.len() as u32).to_ne_bytes())?;
        }
        let room = match self.control {
            (0, _) => 0,
            (_, room) => usize::try_from(room).unwrap_or(usize::MAX),
        };
        let (control, is_cut) = control::fit(control, room);
        memory::write(thread, self.control.0, &control)?;
        memory::write(thread, self.at + 40, &(control.len() as u64).to_ne_bytes())?;
        let flags = match is_cut {
            true => flags | libc::MSG_CTRUNC,
            false => flags,
        };
        memory::write(thread, self.at + 48, &flags.to_ne_bytes())
    }
}

impl Place {
    /// As Linux: cut to the room told, with the whole length told back. Nothing when there is no room at all (NULL).
    fn fill(self, thread: i32, bytes: &[u8]) -> Result<(), i32> {
        if self.at == 0 {
            return Ok(());
        }
        let room = i32::from_ne_bytes(memory::read_array(thread, self.length_at)?);
        let room = usize::try_from(room).map_err(|_| libc::EINVAL)?;
        memory::write(thread, self.at, bytes.get(..room).unwrap_or(bytes))?;
        let length = i32::try_from(bytes.len()).map_err(|_| libc::EINVAL)?;
        memory::write(thread, self.length_at, &length.to_ne_bytes())
    }

    /// An option's value: cut to the room told, with the length written told back. Room for less than `least` is refused, if there
    /// is a value.
    fn fill_cut(self, thread: i32, bytes: &[u8], least: usize) -> Result<(), i32> {
        let room = i32::from_ne_bytes(memory::read_array(thread, self.length_at)?);
        let room = usize::try_from(room).map_err(|_| libc::EINVAL)?;
        if room < least && !bytes.is_empty() {
            return Err(libc::EINVAL);
        }
        let cut = bytes.get(..room).unwrap_or(bytes);
        memory::write(thread, self.at, cut)?;
        let length = i32::try_from(cut.len()).map_err(|_| libc::EINVAL)?;
        memory::write(thread, self.length_at, &length.to_ne_bytes())
    }
}

impl Guard {
    /// Answers a parked call.
    pub(super) fn deliver(
        &mut self,
        parked: Parked,
        result: Result<Outcome, i32>,
        fds: Vec<OwnedFd>,
    ) {
        let Parked {
            notification: n,
            want,
            ..
        } = parked;
        if let (Err(libc::EADDRINUSE), Want::Bound { again: Some(call) }) = (&result, &want) {
            // Of one that is missing the kernel may have told meanwhile: the lab is asked once more in any case.
            self.sweep_stand_ins();
            let call = Call::clone(call);
            return self.ask(n, Question::new(call, Want::Bound { again: None }));
        }
        let outcome = match (result, want.done_so_far()) {
            (Ok(outcome), _) => outcome,
            (Err(_), done @ 1..) => {
                let _ = self.listener.answer(n.id, Ok(i64::from(done)));
                return;
            }
            // The lab knows nothing of it: it has no effect, as far as a node of a lab goes.
            (Err(libc::ENOPROTOOPT), _) if want.is_accepted_option() => Outcome::Value(0),
            (Err(errno), _) => {
                self.give_up(&n, &want, errno);
                let _ = self.listener.answer(n.id, Err(errno));
                return;
            }
        };
        match outcome {
            Outcome::Socket(number) => self.deliver_socket(&n, want, number, fds),
            Outcome::Accepted {
                socket,
                peer,
                token,
            } => self.deliver_connection(&n, want, (socket, peer, token), fds),
            Outcome::Native => {
                if let Want::Shut { socket } = want {
                    self.sockets.listens_no_more(socket);
                }
                let _ = self.listener.leave_to_kernel(n.id);
            }
            Outcome::Refused => self.deliver_refusal(&n, &want),
            Outcome::File => self.deliver_file(&n, &want, &fds),
            Outcome::Renewed { errno } => {
                if let Want::Shut { socket } | Want::Connected { socket } = want {
                    self.renew(&n, socket, fds);
                }
                let result = match errno {
                    0 => Ok(0),
                    errno => Err(errno),
                };
                let _ = self.listener.answer(n.id, result);
            }
            plain => self.deliver_plain(n, want, plain),
        }
    }

    /// The stand-in is refused in the room, too: what it says from now on is Linux's.
    fn deliver_refusal(&mut self, n: &Notification, want: &Want) {
        let mut errno = libc::ECONNREFUSED;
        if let Want::Connected { socket } = want
            && let Ok(end) = self.threads.duplicate(n.thread, n.args[0] as i32)
            && let Some(socket) = self.sockets.get(*socket)
        {
            socket.started = false;
            socket.refused = true;
            errno = be_refused(end.as_fd(), socket.family);
        }
        let _ = self.listener.answer(n.id, Err(errno));
    }

    /// What was done for a call that failed is undone. A connect that failed at once may be tried again with filler; one that
    /// goes on does so with the pair.
    fn give_up(&mut self, n: &Notification, want: &Want, errno: i32) {
        let socket = match want {
            Want::Connected { socket } => socket,
            Want::OptionSet {
                undo: Some(undo), ..
            } => return undo.carry_out(),
            Want::Listening {
                end, in_room: true, ..
            } => return close_door(end.as_fd()),
            _ => return,
        };
        if errno == libc::EISCONN && self.sockets.stands_in_room(*socket) {
            // It listens there, and stays what it is.
            return;
        }
        if [libc::EINPROGRESS, libc::EALREADY, libc::EISCONN].contains(&errno) {
            self.settle(n, *socket, n.args[0] as i32);
        } else if let Some(socket) = self.sockets.get(*socket) {
            socket.started = false;
        }
    }

    fn deliver_plain(&mut self, n: Notification, want: Want, outcome: Outcome) {
        let result = match (want, outcome) {
            (
                Want::ManySent {
                    rest,
                    done,
                    headers,
                },
                Outcome::Value(sent),
            ) => {
                return self.send_next(n, rest, (done, headers), sent);
            }
            (want, Outcome::Value(value)) => {
                self.succeed(&n, want);
                Ok(value)
            }
            (
                Want::Connection {
                    listener, in_room, ..
                },
                Outcome::Nobody { tokens },
            ) => {
                (0..tokens).for_each(|_| take_token(listener.as_fd(), in_room));
                Err(libc::EAGAIN)
            }
            (Want::Address(place), Outcome::Address(address)) => {
                place.fill(n.thread, &sockaddr::encode(address)).map(|()| 0)
            }
            (want, Outcome::Bytes(bytes)) => write_bytes(&n, want, bytes),
            (
                want @ Want::Datagram { .. },
                Outcome::Datagram {
                    from,
                    length,
                    data,
                    control,
                },
            ) => {
                let from = from.map(sockaddr::encode).unwrap_or_default();
                self.forget_error(&n, &want);
                let Want::Datagram { many, flags, .. } = want else {
                    return;
                };
                let written = write_datagram(&n, want, (&from, &control), length, &data);
                match (many, written) {
                    (Some(progress), Ok(_)) => return self.receive_next(n, progress, flags),
                    (
                        Some(Progress {
                            done: done @ 1.., ..
                        }),
                        Err(_),
                    ) => Ok(i64::from(done)),
                    (_, written) => written,
                }
            }
            (want @ Want::Datagram { .. }, Outcome::Message { length, data }) => {
                let from = netlink::sockaddr(0, 0);
                write_datagram(&n, want, (&from, &[]), length, &data)
            }
            // The lab answered something else than was asked.
            _ => Err(libc::EPROTO),
        };
        let _ = self.listener.answer(n.id, result);
    }

    /// What else a call does that the lab has done.
    fn succeed(&mut self, n: &Notification, want: Want) {
        match want {
            Want::Listening {
                end,
                socket,
                started: false,
                in_room,
            } => self.begin_listening(n, socket, (&end, in_room)),
            Want::Dissolved { end, socket } => {
                close_door(end.as_fd());
                if let Some(socket) = self.sockets.get(socket) {
                    (socket.started, socket.refused) = (false, false);
                }
            }
            Want::Connected { socket } => self.settle(n, socket, n.args[0] as i32),
            Want::Associated {
                socket,
                end,
                connects,
            } => self.associate(socket, &end, connects),
            _ => {}
        }
    }

    fn begin_listening(
        &mut self,
        n: &Notification,
        number: SocketNumber,
        (end, in_room): (&OwnedFd, bool),
    ) {
        if let Some(socket) = self.sockets.get(number) {
            socket.started = true;
        }
        if !in_room {
            stand_in::fill(self.sockets.waiting(number), end.as_fd());
            self.settle(n, number, n.args[0] as i32);
        }
    }

    fn deliver_file(&mut self, n: &Notification, want: &Want, fds: &[OwnedFd]) {
        let ([file], Want::File { cloexec }) = (fds, want) else {
            let _ = self.listener.answer(n.id, Err(libc::EPROTO));
            return;
        };
        if let Err(error) = self.listener.answer_with_fd(n.id, file.as_fd(), *cloexec) {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            let _ = self.listener.answer(n.id, Err(errno));
        }
    }

    fn send_next(
        &mut self,
        n: Notification,
        mut rest: Vec<Call>,
        (done, headers): (u32, u64),
        sent: i64,
    ) {
        let slot = headers + u64::from(done) * MMSGHDR as u64 + 56;
        let _ = memory::write(n.thread, slot, &(sent as u32).to_ne_bytes());
        let done = done + 1;
        match rest.pop() {
            Some(call) => self.ask(
                n,
                Question::new(
                    call,
                    Want::ManySent {
                        rest,
                        done,
                        headers,
                    },
                ),
            ),
            None => {
                let _ = self.listener.answer(n.id, Ok(i64::from(done)));
            }
        }
    }

    /// The next datagram of `recvmmsg`, if it is there already: one that waits for more would lose what it has to a signal.
    fn receive_next(&mut self, n: Notification, progress: Progress, flags: i32) {
        let next = progress.next();
        let step = next.map(|next| self.receive_many(&n, next, flags | libc::MSG_DONTWAIT));
        match step {
            Some(Ok(Step::Ask(question))) => self.ask(n, question),
            _ => {
                let done = i64::from(progress.done) + 1;
                let _ = self.listener.answer(n.id, Ok(done));
            }
        }
    }

    fn deliver_socket(
        &mut self,
        n: &Notification,
        want: Want,
        number: SocketNumber,
        fds: Vec<OwnedFd>,
    ) {
        let Want::Socket {
            stream,
            family,
            flags,
            ends,
        } = want
        else {
            return self.undelivered(number, fds, false);
        };
        let in_room = fds.is_empty() && !ends.is_empty();
        let fds = if in_room { ends } else { fds };
        let end = fds.first().and_then(|end| end.try_clone().ok());
        self.inject(n, (number, stream, family), fds, flags, false);
        if let Some(end) = end.filter(|_| in_room) {
            self.begin_in_room(number, &end);
        }
    }

    fn deliver_connection(
        &mut self,
        n: &Notification,
        want: Want,
        (number, peer, token): (SocketNumber, SocketAddr, bool),
        fds: Vec<OwnedFd>,
    ) {
        let Want::Connection {
            listener,
            family,
            name,
            flags,
            in_room,
        } = want
        else {
            return self.undelivered(number, fds, false);
        };
        if !self.listener.waits(n.id) {
            return self.undelivered(number, fds, false);
        }
        if token {
            take_token(listener.as_fd(), in_room);
        }
        if let Err(errno) = name.fill(n.thread, &sockaddr::encode(peer)) {
            let _ = self.listener.answer(n.id, Err(errno));
            return self.undelivered(number, fds, token);
        }
        self.inject(n, (number, true, family), fds, flags, token);
        if let Some(socket) = self.sockets.get(number) {
            socket.started = true;
        }
    }

    /// Puts the program's end into its descriptors. What was cancelled meanwhile goes back to the lab.
    fn inject(
        &mut self,
        n: &Notification,
        (number, stream, family): (SocketNumber, bool, u16),
        fds: Vec<OwnedFd>,
        flags: i32,
        token: bool,
    ) {
        let [end, lab_end] = match <[OwnedFd; 2]>::try_from(fds) {
            Ok(both) => both,
            // Our table of descriptors is full; the program's may not be.
            Err(fds) => {
                let _ = self.listener.answer(n.id, Err(libc::ENFILE));
                return self.undelivered(number, fds, token);
            }
        };
        let stand_in = match n.call {
            libc::SYS_socket if stream => self.make_stand_in(family),
            _ => None,
        };
        let in_room = matches!(stand_in, Some((_, true)));
        let stand_in = stand_in.map(|(stand_in, _)| stand_in);
        let made_as = match n.call {
            libc::SYS_socket => (n.args[1] as u32 & calls::KIND, n.args[2] as u32),
            _ => (libc::SOCK_STREAM as u32, 0),
        };
        let given = stand_in.as_ref().unwrap_or(&end).as_fd();
        if flags & libc::SOCK_NONBLOCK != 0 {
            let _ = pair::set_nonblocking(given);
        }
        if let Err(errno) = self
            .sockets
            .insert(number, (stream, made_as), family, given, lab_end)
        {
            let _ = self.listener.answer(n.id, Err(errno));
            return self.undelivered(number, vec![end], token);
        }
        match self
            .listener
            .answer_with_fd(n.id, given, flags & libc::SOCK_CLOEXEC != 0)
        {
            Ok(fd) => {
                if stand_in.is_some() {
                    self.limit_stand_ins();
                    self.sockets.keep_waiting(number, end);
                }
                if let Some(socket) = self.sockets.get(number) {
                    socket.rooms_stream = in_room;
                }
                self.delivered(number, n.thread, fd);
            }
            Err(error) => {
                // The call is gone, or the program has no room for another descriptor.
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let _ = self.listener.answer(n.id, Err(errno));
                self.sockets.remove(number);
                self.undelivered(number, vec![end], token);
            }
        }
    }

    /// An answer to a call that is no longer parked: a socket goes back, all else is nothing. A connection that goes
    /// back may find a later one already on its way: among connections whose accept was broken off, order may change.
    pub(super) fn return_late(&mut self, result: Result<Outcome, i32>, fds: Vec<OwnedFd>) {
        match result {
            Ok(Outcome::Socket(number)) | Ok(Outcome::Accepted { socket: number, .. }) => {
                self.undelivered(number, fds, false);
            }
            _ => {}
        }
    }

    fn undelivered(&mut self, socket: SocketNumber, fds: Vec<OwnedFd>, token: bool) {
        // The lab still has its end; ours close only once it has been told.
        self.tell(Call::Undelivered { socket, token });
        drop(fds);
    }
}

/// Takes the token of an accepted connection out of a listener.
fn take_token(listener: BorrowedFd<'_>, in_room: bool) {
    match in_room {
        true => streams::take_token(listener),
        false => pair::take_token(listener),
    }
}

/// What is told in bytes: an option, an address of netlink, what is known of interfaces.
fn write_bytes(n: &Notification, want: Want, mut bytes: Vec<u8>) -> Result<i64, i32> {
    match want {
        Want::Option { place, end, least } => {
            // Asked last: what the lab has heard by now it has told the kernel.
            let native = end.map_or(0, |end| identity::take_native_error(end.as_fd()));
            if native != 0 && bytes.iter().all(|byte| *byte == 0) {
                bytes = native.to_ne_bytes().to_vec();
            }
            place.fill_cut(n.thread, &bytes, least)
        }
        Want::Address(place) => place.fill(n.thread, &bytes),
        Want::Interfaces(list) => list.fill(n.thread, &bytes),
        Want::Interface { at } => memory::write(n.thread, at, &bytes),
        _ => Err(libc::EPROTO),
    }
    .map(|()| 0)
}

/// Bytes, sender and, for `recvmsg`, the header's fields. Returns what the call returns.
fn write_datagram(
    n: &Notification,
    want: Want,
    (from, control): (&[u8], &[u8]),
    length: u32,
    data: &[u8],
) -> Result<i64, i32> {
    let Want::Datagram {
        spread,
        name,
        header,
        flags,
        many,
    } = want
    else {
        return Err(libc::EPROTO);
    };
    let mut rest = data;
    for (at, room) in spread {
        let (part, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        memory::write(n.thread, at, part)?;
        rest = later;
    }
    let whole = length as usize;
    // Of the queue of errors Linux never tells the whole length.
    let tells_whole = flags & (libc::MSG_TRUNC | libc::MSG_ERRQUEUE) == libc::MSG_TRUNC;
    let told = if tells_whole { whole } else { data.len() };
    match header {
        None => name.fill(n.thread, from)?,
        Some(header) => {
            let cut = match whole > data.len() {
                true => libc::MSG_TRUNC,
                false => 0,
            };
            let said = cut | (flags & libc::MSG_ERRQUEUE);
            header.fill(n.thread, (name.at, from), control, said)?;
            if many.is_some() {
                memory::write(n.thread, header.at + 56, &(told as u32).to_ne_bytes())?;
            }
        }
    }
    Ok(if many.is_some() { 1 } else { told as i64 })
}
