//! A chat in plain text: a client's first line is its name, every other one is passed on to everybody as `name: line`.
//!
//! Who comes late is told first what was said before. One thread a client reads; nobody holds a lock while it writes.
//!
//! ```text
//!   alice ─ line ─▶ room (what was said, in order) ─▶ whoever adds a line hands it to each guest who lags
//! ```
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use heptad_runtime::{Network, Node, Sender, TcpListener, TcpStream, run_is_over};

use crate::l6_presentation::text::Lines;

/// Most lines that the room remembers.
const MEMORY: usize = 1_000;
/// A guest who takes nothing for so long is put out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who joins, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The server's node.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The guest's name.
    pub name: String,
    /// What it says.
    pub lines: Vec<String>,
}

/// Joins, says its lines, each when the one before has come back, and prints what is said until the server ends.
pub fn client(node: &Node, guest: &Guest, out: &mut dyn Write) -> io::Result<u8> {
    let stream = TcpStream::connect(node, (guest.host.as_str(), guest.port))?;
    let say = |line: &str| (&stream).write_all(format!("{line}\n").as_bytes());
    // What comes back says that the next one may go; after the last one there is nothing more to say.
    let mut lines = guest.lines.iter();
    let mut say_next = || match lines.next() {
        Some(line) => {
            say(line)?;
            Ok(format!("{}: {line}", guest.name))
        }
        None => stream.shutdown(Shutdown::Write).map(|()| String::new()),
    };
    say(&guest.name)?;
    let mut awaited = say_next()?;
    each_line(&stream, |line| {
        writeln!(out, "{line}")?;
        if line == awaited {
            awaited = say_next()?;
        }
        Ok(())
    })?;
    Ok(0)
}

/// Serves guests and prints what they say. With `clients`: until so many came and all of them said what they had to
/// say; else until the run is over.
pub fn server(node: &Node, port: u16, clients: Option<u32>, out: &mut dyn Write) -> io::Result<u8> {
    let listener = TcpListener::bind(node, (node.any_address(), port))?;
    writeln!(out, "chat-server: listening at {}", listener.local_addr()?)?;
    let room = Arc::new(Room {
        stays: clients.is_some(),
        ..Room::default()
    });
    let (bell, heard) = node.network().channel(1024);
    let door = Door {
        network: node.network().clone(),
        listener,
        room: room.clone(),
        bell,
    };
    let opened = node
        .network()
        .spawn("chat door", move || door.open(clients));
    let mut printed = 0;
    while heard.recv().is_ok() {
        room.print(&mut printed, out)?;
    }
    room.print(&mut printed, out)?;
    match opened.join() {
        Ok(result) => result.map(|()| 0),
        Err(_) => Err(io::Error::other("the chat's door broke")),
    }
}

/// Where guests come in.
struct Door {
    network: Network,
    listener: TcpListener,
    room: Arc<Room>,
    /// Rung when something was said.
    bell: Sender<()>,
}
impl Door {
    fn open(self, clients: Option<u32>) -> io::Result<()> {
        let mut threads = Vec::new();
        for number in 0..clients.unwrap_or(u32::MAX) {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => Arc::new(stream),
                Err(error) if run_is_over(&error) => break,
                Err(error) => return Err(error),
            };
            stream.set_write_timeout(Some(PATIENCE))?;
            self.room.enter(number, stream.clone());
            let (room, bell) = (self.room.clone(), self.bell.clone());
            let name = format!("chat guest {}", number + 1);
            let thread = self
                .network
                .spawn(&name, move || room.serve(number, &stream, &bell));
            if clients.is_some() {
                threads.push(thread);
            }
        }
        for thread in threads {
            let _ = thread.join();
        }
        self.room.close();
        Ok(())
    }
}

/// The place where all hear what one says.
#[derive(Default)]
struct Room {
    /// Guests who have said everything stay to listen.
    stays: bool,
    state: Mutex<State>,
}
#[derive(Default)]
struct State {
    /// How many lines went because of the bound.
    forgotten: u64,
    said: VecDeque<String>,
    guests: BTreeMap<u32, Present>,
}
struct Present {
    stream: Arc<TcpStream>,
    /// The first line that it was not told yet.
    next: u64,
    /// Some thread is telling it.
    is_told: bool,
}
impl State {
    /// The lines from `next` on.
    fn since(&self, next: u64) -> String {
        let skipped = next.saturating_sub(self.forgotten);
        let from = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.said.iter().skip(from).map(String::as_str).collect()
    }
    fn end(&self) -> u64 {
        self.forgotten + self.said.len() as u64
    }
}
impl Room {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn enter(&self, guest: u32, stream: Arc<TcpStream>) {
        let present = Present {
            stream,
            next: 0,
            is_told: false,
        };
        self.lock().guests.insert(guest, present);
    }
    /// Hears a guest until it has said everything.
    fn serve(&self, guest: u32, stream: &TcpStream, bell: &Sender<()>) {
        self.tell(guest);
        let mut name = None;
        let heard = each_line(stream, |line| {
            match &name {
                None => name = Some(line.to_owned()),
                Some(name) => {
                    self.say(format!("{name}: {line}\n"));
                    bell.send(())?;
                }
            }
            Ok(())
        });
        if heard.is_err() || !self.stays {
            self.leave(guest);
        }
    }
    /// Adds a line and hands it to everybody, whoever said it too.
    fn say(&self, line: String) {
        let mut state = self.lock();
        if state.said.len() >= MEMORY {
            state.said.pop_front();
            state.forgotten += 1;
        }
        state.said.push_back(line);
        let everybody: Vec<u32> = state.guests.keys().copied().collect();
        drop(state);
        for guest in everybody {
            self.tell(guest);
        }
    }
    /// Tells a guest what it was not told yet, unless another thread is at it.
    fn tell(&self, guest: u32) {
        loop {
            let mut state = self.lock();
            let end = state.end();
            let Some(present) = state.guests.get(&guest) else {
                return;
            };
            if present.is_told || present.next >= end {
                return;
            }
            let text = state.since(present.next);
            let stream = present.stream.clone();
            self.set_told(&mut state, guest, true, end);
            drop(state);
            let told = (&*stream).write_all(text.as_bytes());
            self.set_told(&mut self.lock(), guest, false, end);
            if told.is_err() {
                return self.leave(guest);
            }
        }
    }
    fn set_told(&self, state: &mut State, guest: u32, is_told: bool, next: u64) {
        if let Some(present) = state.guests.get_mut(&guest) {
            present.is_told = is_told;
            present.next = next;
        }
    }
    fn leave(&self, guest: u32) {
        let present = self.lock().guests.remove(&guest);
        drop(present);
    }
    /// Everybody goes home.
    fn close(&self) {
        let guests = std::mem::take(&mut self.lock().guests);
        drop(guests);
    }
    fn print(&self, printed: &mut u64, out: &mut dyn Write) -> io::Result<()> {
        let (text, end) = {
            let state = self.lock();
            (state.since(*printed), state.end())
        };
        *printed = end;
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// Calls `hear` with each line until the other side ends.
fn each_line(
    mut stream: &TcpStream,
    mut hear: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut lines = Lines::new();
    let mut buffer = vec![0; 4096];
    loop {
        let taken = stream.read(&mut buffer)?;
        if taken == 0 {
            return lines.finish().map_or(Ok(()), |line| hear(&line));
        }
        for line in lines.push(buffer.get(..taken).unwrap_or_default()) {
            hear(&line)?;
        }
    }
}
