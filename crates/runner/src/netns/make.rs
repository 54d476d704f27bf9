//! Makes a namespace, in a process of its own that ends when it is made: what is held open keeps it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use heptad_runtime::device::{DeviceError, Interface, Kind};

use super::kernel;
use super::requests::Routes;
use super::{Door, Namespace, Place};
use crate::channel;

/// The lab's end of a pair of interfaces, in a namespace of its own.
const FAR_END: &str = "lab";
/// The longest message of the process.
const LONGEST: usize = 1024;

/// Why there is no such namespace.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The kernel or its administrator refuses a step.
    #[error("no network namespace can be made here: {0}")]
    Refused(String),
    /// What we need ourselves.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// The cable's end cannot be used.
    #[error(transparent)]
    Cable(#[from] DeviceError),
}

/// Makes a namespace for a node. Call it before any thread is started.
///
/// # Errors
/// [`MakeError`]
pub fn make(place: &Place) -> Result<Namespace, MakeError> {
    let system = |doing| move |error| MakeError::System(doing, error);
    let (ours, theirs) = channel::channel().map_err(system("socketpair"))?;
    // SAFETY: no other thread runs, so the child may go on as any process may.
    match unsafe { libc::fork() } {
        -1 => Err(system("fork")(io::Error::last_os_error())),
        0 => {
            let told = match made(place) {
                Ok(made) => made.send(&theirs),
                Err(why) => channel::send(theirs.as_fd(), &word(REFUSED, &why), &[], true),
            };
            // SAFETY: ends this process without the clean-up that belongs to its parent.
            unsafe { libc::_exit(i32::from(told.is_err())) }
        }
        child => {
            drop(theirs);
            wait_for(&ours).map_err(system("poll"))?;
            let message = channel::receive(&ours).map_err(system("recvmsg"))?;
            reap(child);
            namespace(place, message.unwrap_or_default())
        }
    }
}

const REFUSED: u8 = 0;
const TAP: u8 = 1;
const VETH: u8 = 2;

fn word(tag: u8, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    [&[tag], text.get(..LONGEST).unwrap_or(text)].concat()
}

/// What the child tells.
fn namespace(place: &Place, message: channel::Message) -> Result<Namespace, MakeError> {
    let mut fds = message.fds.into_iter();
    let kind = match message.bytes.split_first() {
        Some((&TAP, _)) => Kind::Tap,
        Some((&VETH, _)) => Kind::Veth,
        Some((_, why)) => {
            return Err(MakeError::Refused(
                String::from_utf8_lossy(why).into_owned(),
            ));
        }
        None => return Err(MakeError::Refused("its process was killed".into())),
    };
    let (Some(cable), Some(net)) = (fds.next(), fds.next()) else {
        return Err(MakeError::Refused("descriptors ran out".into()));
    };
    let user = fds.next();
    Ok(Namespace {
        cable: Interface::adopt(kind, &place.interface, cable)?,
        door: Door { net, user },
    })
}

/// What the child hands over.
struct Made {
    cable: Interface,
    net: OwnedFd,
    user: Option<OwnedFd>,
}

impl Made {
    fn send(self, to: &OwnedFd) -> io::Result<()> {
        let tag = if self.cable.kind() == Kind::Tap {
            TAP
        } else {
            VETH
        };
        let cable = self.cable.into_file();
        let mut fds = vec![cable.as_fd(), self.net.as_fd()];
        fds.extend(self.user.as_ref().map(AsFd::as_fd));
        channel::send(to.as_fd(), &[tag], &fds, true)
    }
}

/// The child's part. Errors are for people.
fn made(place: &Place) -> Result<Made, String> {
    let user = kernel::enter_new()?;
    let far = Routes::open().map_err(said("netlink"))?;
    let cable = match Interface::attach(Kind::Tap, &place.interface) {
        Ok(tap) => tap,
        Err(no_tap) => pair(place, &far).map_err(|why| format!("{no_tap}; {why}"))?,
    };
    kernel::set_up(place, &Routes::open().map_err(said("netlink"))?)?;
    Ok(Made {
        cable,
        net: kernel::current("net").map_err(said("/proc/self/ns/net"))?,
        user,
    })
}

/// A pair of interfaces, whose far end stays in the namespace that there is: the near one is in another, entered now. So no
/// stack hears what is meant for the lab.
fn pair(place: &Place, far: &Routes) -> Result<Interface, String> {
    kernel::set("net/ipv6/conf/default/disable_ipv6", "1");
    let lab = kernel::current("net").map_err(said("/proc/self/ns/net"))?;
    kernel::unshare_network().map_err(said("a second network"))?;
    let node = kernel::current("net").map_err(said("/proc/self/ns/net"))?;
    let near = Routes::open().map_err(said("netlink"))?;
    near.make_pair(&place.interface, FAR_END, lab.as_raw_fd())
        .map_err(said("a pair of interfaces (veth)"))?;
    kernel::cut_and_fill(&place.interface).map_err(said("offloads off"))?;
    far.set_link(FAR_END, None, place.mtu)
        .map_err(said("the lab's end of the pair"))?;
    kernel::enter_network(&lab).map_err(said("setns"))?;
    let cable = Interface::attach(Kind::Veth, FAR_END).map_err(|error| error.to_string());
    kernel::enter_network(&node).map_err(said("setns"))?;
    cable
}

/// What was tried, and why it failed.
pub(super) fn said(doing: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{doing}: {error}")
}

fn wait_for(channel: &OwnedFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        match poll(&mut [PollFd::new(channel, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

fn reap(child: i32) {
    let pid = rustix::process::Pid::from_raw(child);
    let none = rustix::process::WaitOptions::empty();
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(pid, none) {}
}
