//! The guard: starts the program behind the filter and answers its calls, one loop, never blocked by any of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answers::Want;
use super::child::{Child, child_signals, failed, read_word};
use super::epolls::Epolls;
use super::front::Report;
use super::identity::{self, Threads};
use super::program::{Plan, Step, Word};
use super::room::Rooms;
use super::{descendants, pair};
use crate::channel;
use crate::notify::{self, Listener, Notification};
use crate::protocol::{Answer, Call, Request, SocketNumber};

/// How often parked calls are looked at: cancelled, interrupted by a signal, out of time?
const WATCH: Duration = Duration::from_millis(20);
/// Most parked calls looked at in one go; the others wait for the next.
const WATCHED_AT_ONCE: usize = 64;
/// Most replaced ends remembered.
const MOST_REPLACED: usize = 65_536;

/// The guard process.
pub struct Guard {
    pub(super) listener: Listener,
    pub(super) channel: OwnedFd,
    pub(super) threads: Threads,
    pub(super) sockets: Sockets,
    pub(super) epolls: Epolls,
    pub(super) rooms: Rooms,
    wait_killable: bool,
    parked: BTreeMap<u64, Parked>,
    next_request: u64,
    watched: Instant,
    watched_up_to: u64,
    lab_gone: bool,
    program: Child,
    /// With so many stand-ins, those that were closed are looked for.
    pub(super) stand_ins_at_most: usize,
}

/// A call that waits for the lab.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) notification: Notification,
    pub(super) want: Want,
    deadline: Option<(Instant, i32)>,
}

/// A call on its way to the lab.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) call: Call,
    pub(super) want: Want,
    /// How long it may wait, and the errno it then fails with.
    pub(super) limit: Option<(Duration, i32)>,
    /// Descriptors that the lab needs for it.
    pub(super) ends: Vec<OwnedFd>,
}

impl Question {
    pub(super) fn new(call: Call, want: Want) -> Self {
        Self {
            call,
            want,
            limit: None,
            ends: Vec::new(),
        }
    }
}

/// The sockets that the lab made for this program, by their cookies.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    by_cookie: HashMap<u64, Socket>,
    cookies: HashMap<SocketNumber, u64>,
    /// Those with a stand-in in the program's hands.
    stand_ins: BTreeSet<SocketNumber>,
    replaced: Replaced,
}

/// Ends that another took the place of, by their cookies: copies of them may be in use. The oldest are forgotten.
#[derive(Debug, Default)]
struct Replaced {
    of: HashMap<u64, SocketNumber>,
    order: VecDeque<u64>,
}

impl Replaced {
    fn note(&mut self, cookie: u64, number: SocketNumber) {
        if self.of.insert(cookie, number).is_none() {
            self.order.push_back(cookie);
        }
        if self.order.len() > MOST_REPLACED
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
    }

    fn forget(&mut self, cookie: u64) {
        self.of.remove(&cookie);
    }
}

/// What the guard knows of a socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) number: SocketNumber,
    pub(super) stream: bool,
    pub(super) family: u16,
    /// Kind and protocol that `socket` was asked for.
    pub(super) made_as: (u32, u32),
    /// A socket of the kernel's that options are asked of, once one was.
    pub(super) shadow: Option<OwnedFd>,
    /// A first connect or listen was asked for: the pair may carry more than filler.
    pub(super) started: bool,
    /// Its stand-in is in the guard's room.
    pub(super) rooms_stream: bool,
    /// There the last connect was refused, and no call has said so yet but its own.
    pub(super) refused: bool,
    /// A duplicate of the lab's end: should the lab die, the program sees silence and not an end of file.
    pub(super) lab_end: Option<OwnedFd>,
    /// Its ends are sockets of the guard's room.
    pub(super) in_room: bool,
    /// They have ports there, and the lab's end that peer.
    pub(super) placed: bool,
    /// The program's end of the pair, while a stand-in is in its place.
    waiting: Option<OwnedFd>,
    pub(super) inode: u64,
    /// The process that was given it, and the number there.
    pub(super) holder: (i32, i32),
}

impl Socket {
    /// A stand-in is in the program's hands.
    pub(super) fn stands_in(&self) -> bool {
        self.waiting.is_some()
    }

    /// And it is in the guard's room.
    pub(super) fn stands_in_room(&self) -> bool {
        self.stands_in() && self.rooms_stream
    }

    /// A duplicate of the end that programs have, from whoever has it.
    pub(super) fn end_in_use(&self, cookie: u64) -> Option<OwnedFd> {
        let (process, fd) = self.holder;
        identity::duplicate_of_process(process, fd)
            .ok()
            .filter(|end| identity::cookie(end.as_fd()) == Ok(cookie))
            .or_else(|| {
                let below = descendants::below(std::process::id().cast_signed());
                identity::search(&below, self.inode, cookie)
            })
    }

    /// It is as it was at first, with another pair.
    pub(super) fn renew(&mut self, lab_end: OwnedFd) {
        self.lab_end = Some(lab_end);
        self.started = false;
    }
}

impl Sockets {
    /// Remembers a socket by its program's end.
    pub(super) fn insert(
        &mut self,
        number: SocketNumber,
        (stream, made_as): (bool, (u32, u32)),
        family: u16,
        end: BorrowedFd<'_>,
        lab_end: OwnedFd,
    ) -> Result<(), i32> {
        let cookie = identity::cookie(end)?;
        let inode = identity::inode(end);
        let lab_end = Some(lab_end);
        let holder = (0, -1);
        let socket = Socket {
            number,
            stream,
            family,
            made_as,
            shadow: None,
            started: false,
            rooms_stream: false,
            refused: false,
            lab_end,
            in_room: false,
            placed: false,
            waiting: None,
            inode,
            holder,
        };
        self.by_cookie.insert(cookie, socket);
        self.cookies.insert(number, cookie);
        Ok(())
    }

    /// Keeps the program's end of a pair for a socket that has a stand-in.
    pub(super) fn keep_waiting(&mut self, number: SocketNumber, end: OwnedFd) {
        if let Some(socket) = self.get(number) {
            socket.waiting = Some(end);
            self.stand_ins.insert(number);
        }
    }

    /// The end that waits for its place.
    pub(super) fn waiting(&self, number: SocketNumber) -> Option<&OwnedFd> {
        let socket = self.by_cookie.get(self.cookies.get(&number)?)?;
        socket.waiting.as_ref()
    }

    /// The same, no longer kept.
    pub(super) fn take_waiting(&mut self, number: SocketNumber) -> Option<OwnedFd> {
        self.stand_ins.remove(&number);
        self.get(number)?.waiting.take()
    }

    /// The end of the pair is in its place now: the socket is known by it.
    pub(super) fn has_settled(&mut self, number: SocketNumber, end: BorrowedFd<'_>) {
        let Ok(cookie) = identity::cookie(end) else {
            return;
        };
        self.replaced.forget(cookie);
        let Some(before) = self.cookies.insert(number, cookie) else {
            return;
        };
        if let Some(mut socket) = self.by_cookie.remove(&before) {
            socket.inode = identity::inode(end);
            self.by_cookie.insert(cookie, socket);
            self.replaced.note(before, number);
        }
    }

    /// The socket that an end, known by its cookie, belonged to before another took its place.
    pub(super) fn earlier(&self, cookie: u64) -> Option<SocketNumber> {
        self.replaced.of.get(&cookie).copied()
    }

    /// What a socket is known by.
    pub(super) fn cookie_of(&self, number: SocketNumber) -> Option<u64> {
        self.cookies.get(&number).copied()
    }

    /// How many.
    pub(super) fn stand_in_count(&self) -> usize {
        self.stand_ins.len()
    }

    /// One that listened in the room is as it was at first.
    pub(super) fn listens_no_more(&mut self, number: SocketNumber) {
        if let Some(socket) = self.get(number).filter(|socket| socket.stands_in()) {
            socket.started = false;
        }
    }

    /// Whether a socket has a stand-in in the room.
    pub(super) fn stands_in_room(&mut self, number: SocketNumber) -> bool {
        self.get(number)
            .is_some_and(|socket| socket.stands_in_room())
    }

    /// Sockets with a stand-in, and the process and number that it was given to.
    pub(super) fn stand_ins(&self) -> Vec<(SocketNumber, (i32, i32))> {
        let holder = |number: &SocketNumber| {
            let socket = self.by_cookie.get(self.cookies.get(number)?)?;
            Some((*number, socket.holder))
        };
        self.stand_ins.iter().filter_map(holder).collect()
    }

    /// The socket of this cookie.
    pub(super) fn find(&mut self, cookie: u64) -> Option<&mut Socket> {
        self.by_cookie.get_mut(&cookie)
    }

    /// The socket of this number.
    pub(super) fn get(&mut self, number: SocketNumber) -> Option<&mut Socket> {
        self.by_cookie.get_mut(self.cookies.get(&number)?)
    }

    /// Who got it last.
    pub(super) fn set_holder(&mut self, number: SocketNumber, process: i32, fd: i32) {
        if let Some(socket) = self.get(number) {
            socket.holder = (process, fd);
        }
    }

    /// Forgets a socket.
    pub(super) fn remove(&mut self, number: SocketNumber) {
        self.stand_ins.remove(&number);
        if let Some(cookie) = self.cookies.remove(&number) {
            self.by_cookie.remove(&cookie);
        }
    }

    /// Lets go of the lab's end, after leaving a byte in it where the program shall read `ECONNRESET`.
    fn release(&mut self, number: SocketNumber, reset: bool) {
        let Some(cookie) = self.cookies.get(&number).copied() else {
            return;
        };
        let Some(socket) = self.by_cookie.get_mut(&cookie) else {
            return;
        };
        let Some(lab_end) = socket.lab_end.take() else {
            return;
        };
        if reset
            && rustix::io::ioctl_fionread(&lab_end).is_ok_and(|unread| unread == 0)
            && let Some(end) = socket.end_in_use(cookie)
        {
            pair::poison(end.as_fd());
        }
    }
}

/// The guard's whole life.
pub fn main(plan: &Plan, channel: OwnedFd, front: OwnedFd, report: OwnedFd, mask: &libc::sigset_t) {
    let started = descendants::adopt_orphans()
        .map_err(|error| failed(&error))
        .and_then(|()| start(plan, channel, mask));
    match started {
        Ok(mut guard) => {
            let last = guard.serve(&front, &report);
            let _ = channel::send(report.as_fd(), &last.encode(), &[], true);
            // With the guard still whole: its descriptors keep what the programs see silent until they are gone.
            descendants::kill_all();
        }
        Err(last) => {
            let _ = channel::send(report.as_fd(), &last.encode(), &[], true);
            descendants::kill_all();
        }
    }
}

/// Forks the program, fetches the filter's listener out of it and lets it go on.
fn start(plan: &Plan, channel: OwnedFd, mask: &libc::sigset_t) -> Result<Guard, Report> {
    let system = |error: rustix::io::Errno| Report::Failed(error.raw_os_error());
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(system)?;
    // SAFETY: this process has one thread; the child may go on as any process may.
    let program = match unsafe { libc::fork() } {
        -1 => return Err(failed(&io::Error::last_os_error())),
        0 => {
            drop(ours);
            let (step, errno) = plan.become_it(theirs.as_fd(), mask);
            let _ = rustix::io::write(&theirs, &Word::Failed(step, errno).encode());
            // SAFETY: ends this process without the clean-up that belongs to the front.
            unsafe { libc::_exit(127) }
        }
        pid => pid,
    };
    drop(theirs);
    let (listener, wait_killable) = fetch_listener(program, &ours)?;
    // The pair closes when the program is executed; a word before that says why not.
    if let Some(Word::Failed(step, errno)) = read_word(&ours) {
        return Err(Report::NotStarted(step, errno));
    }
    raise_descriptor_limit();
    let mut guard = Guard {
        listener: Listener::new(listener),
        channel,
        threads: Threads::default(),
        sockets: Sockets::default(),
        epolls: Epolls::default(),
        rooms: Rooms::default(),
        wait_killable,
        parked: BTreeMap::new(),
        next_request: 1,
        watched: Instant::now(),
        watched_up_to: 0,
        lab_gone: false,
        program: Child::new(program),
        stand_ins_at_most: 0,
    };
    let name = plan.name.to_string_lossy().chars().take(256).collect();
    guard.tell(Call::Hello {
        pid: program.cast_unsigned(),
        program: name,
    });
    Ok(guard)
}

fn fetch_listener(program: i32, ours: &OwnedFd) -> Result<(OwnedFd, bool), Report> {
    let (number, wait_killable) = match read_word(ours) {
        Some(Word::Filtered {
            listener,
            wait_killable,
        }) => (listener, wait_killable),
        Some(Word::Failed(step, errno)) => return Err(Report::NotStarted(step, errno)),
        None => return Err(Report::NotStarted(Step::Surroundings, libc::EPIPE)),
    };
    let listener = identity::duplicate_of_process(program, number)
        .map_err(|errno| Report::NotStarted(Step::Filter, errno))?;
    rustix::io::write(ours, &[1])
        .map_err(|error| Report::NotStarted(Step::Filter, error.raw_os_error()))?;
    Ok((listener, wait_killable))
}

/// The guard holds a descriptor for each of the program's sockets.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Guard {
    /// Answers calls until the program ends, the lab goes, or the front dies.
    fn serve(&mut self, front: &OwnedFd, report: &OwnedFd) -> Report {
        let children = match child_signals() {
            Ok(fd) => fd,
            Err(error) => return failed(&error),
        };
        let mut filter_in_use = true;
        loop {
            self.rooms.stock_up();
            let idle = PollFlags::empty();
            // A listener that nobody makes calls on hangs up for ever.
            let calls = match filter_in_use {
                true => PollFd::new(&self.listener, PollFlags::IN),
                false => PollFd::new(&self.channel, idle),
            };
            let wanted = match self.rooms.closings() {
                Some(_) => PollFlags::IN,
                None => idle,
            };
            let mut fds = [
                calls,
                PollFd::new(&self.channel, PollFlags::IN),
                PollFd::new(front, PollFlags::IN),
                PollFd::new(report, PollFlags::IN),
                PollFd::new(&children, PollFlags::IN),
                PollFd::new(self.rooms.closings().unwrap_or(&self.channel), wanted),
            ];
            let limit = self.patience();
            match poll(&mut fds, limit.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Report::Failed(error.raw_os_error()),
            }
            let [call, answer, front_died, signal, child, closed] = fds.map(|fd| fd.revents());
            if closed.contains(PollFlags::IN) {
                self.take_closings();
            }
            if filter_in_use && call.contains(PollFlags::IN) {
                self.take_call();
            } else if call.contains(PollFlags::HUP) {
                filter_in_use = false;
            }
            if !answer.is_empty() {
                self.take_answers();
            }
            if self.lab_gone || !front_died.is_empty() {
                return Report::LabGone;
            }
            if !signal.is_empty() {
                self.program.pass_signal_on(report);
            }
            if !child.is_empty()
                && let Some(end) = self.program.look(&children, report)
            {
                return end;
            }
            self.watch();
        }
    }

    /// How long the loop may sleep; for ever while no call is parked.
    fn patience(&self) -> Option<Timespec> {
        let nanos = i64::from(WATCH.subsec_nanos());
        (!self.parked.is_empty()).then_some(Timespec {
            tv_sec: 0,
            tv_nsec: nanos,
        })
    }

    fn take_call(&mut self) {
        // A call that was cancelled between poll and receive is an error here, and no loss.
        let Ok(notification) = self.listener.receive() else {
            return;
        };
        self.handle(notification);
    }

    /// Sends a question to the lab and parks its call.
    pub(super) fn ask(&mut self, notification: Notification, question: Question) {
        let Question {
            call,
            want,
            limit,
            ends,
        } = question;
        let id = self.next_request;
        self.next_request += 1;
        let deadline = limit.map(|(limit, errno)| (Instant::now() + limit, errno));
        self.parked.insert(
            id,
            Parked {
                notification,
                want,
                deadline,
            },
        );
        self.send(&Request { id, call }, &ends);
    }

    /// Tells the lab something that has no answer.
    pub(super) fn tell(&mut self, call: Call) {
        self.send(&Request { id: 0, call }, &[]);
    }

    fn send(&mut self, request: &Request, ends: &[OwnedFd]) {
        let bytes = request.encode();
        let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
        if channel::send(self.channel.as_fd(), &bytes, &ends, true).is_err() {
            self.lab_gone = true;
        }
    }

    fn take_answers(&mut self) {
        loop {
            match channel::receive(&self.channel) {
                Ok(None) => return,
                Ok(Some(message)) if !message.bytes.is_empty() => {
                    match Answer::decode(&message.bytes) {
                        Ok(answer) => self.take_answer(answer, message.fds),
                        Err(_) => self.lab_gone = true,
                    }
                }
                Ok(Some(_)) | Err(_) => self.lab_gone = true,
            }
            if self.lab_gone {
                return;
            }
        }
    }

    fn take_answer(&mut self, answer: Answer, fds: Vec<OwnedFd>) {
        match answer {
            Answer::Done { id, result } => match self.parked.remove(&id) {
                Some(parked) => self.deliver(parked, result, fds),
                None => self.return_late(result, fds),
            },
            Answer::Release { socket, reset } => self.sockets.release(socket, reset),
            Answer::Forget { socket } => self.sockets.remove(socket),
        }
    }

    /// Looks at parked calls, oldest first, a bounded number at a time.
    fn watch(&mut self) {
        let now = Instant::now();
        if now < self.watched + WATCH {
            return;
        }
        self.watched = now;
        let from = self.watched_up_to;
        let mut ids: Vec<u64> = self
            .parked
            .range(from + 1..)
            .take(WATCHED_AT_ONCE)
            .map(|(id, _)| *id)
            .collect();
        if ids.len() < WATCHED_AT_ONCE {
            ids.extend(
                self.parked
                    .range(..=from)
                    .take(WATCHED_AT_ONCE - ids.len())
                    .map(|(id, _)| *id),
            );
        }
        self.watched_up_to = ids.last().copied().unwrap_or(0);
        for id in ids {
            self.look_at_parked(id, now);
        }
    }

    fn look_at_parked(&mut self, id: u64, now: Instant) {
        let Some(parked) = self.parked.get(&id) else {
            return;
        };
        let notification = parked.notification;
        let answer = match parked.deadline {
            Some((at, errno)) if at <= now => Some(errno),
            _ if self.wait_killable && identity::signal_waits(notification.thread) => {
                Some(notify::RESTART)
            }
            _ => None,
        };
        if answer.is_none() && self.listener.waits(notification.id) {
            return;
        }
        let Some(parked) = self.parked.remove(&id) else {
            return;
        };
        // Before the program goes on: what comes then is not for this call.
        let call = Call::Cancel;
        self.send(&Request { id, call }, &[]);
        if let Some(errno) = answer {
            // The connect goes on without its call.
            if let Want::Connected { socket } = parked.want {
                self.settle(&notification, socket, notification.args[0] as i32);
            }
            let _ = self.listener.answer(notification.id, Err(errno));
        }
    }

    /// Tells the lab who has a socket now.
    pub(super) fn delivered(&mut self, socket: SocketNumber, thread: i32, fd: i32) {
        let process = self.threads.process_of(thread);
        self.sockets.set_holder(socket, process, fd);
        self.tell(Call::Delivered {
            socket,
            pid: process.cast_unsigned(),
            fd,
        });
    }
}
