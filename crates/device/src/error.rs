//! Why the kernel's end of a cable can't be had, for people, with what to do about it.
use std::io;

use crate::Kind;

/// Why an interface can't be used. The fault lies with this machine or its user, never with a packet.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No such file: the driver is not there (a container often lacks it).
    #[error("/dev/net/tun is missing: this kernel or container offers no TAP and TUN")]
    NoDriver,
    /// The file is there and can't be opened.
    #[error("cannot open /dev/net/tun: {0}")]
    Driver(io::Error),
    /// Linux takes 1 to 15 bytes, without `/`, `:`, blanks and `%`; `.` and `..` are none.
    #[error("`{0}` can't be the name of an interface: 1 to {MAX} bytes, no blank, `/`, `:` or `%`", MAX = crate::MAX_NAME)]
    Name(String),
    /// There is none of this name, and this user may not make one.
    #[error("not permitted to make the {kind} interface {name}")]
    MayNotMake {
        /// TAP or TUN.
        kind: Kind,
        /// The interface's.
        name: String,
    },
    /// There is one of this name, of somebody else.
    #[error("the {kind} interface {name} belongs to another user")]
    NotOwner {
        /// TAP or TUN.
        kind: Kind,
        /// The interface's.
        name: String,
    },
    /// Another process holds it.
    #[error("the interface {0} is in use by another process")]
    Busy(String),
    /// An interface of this name exists and is something else.
    #[error("the interface {name} exists and is no {kind} of one queue")]
    OtherKind {
        /// TAP or TUN.
        kind: Kind,
        /// The interface's.
        name: String,
    },
    /// It is down, and this user may not change that.
    #[error("the interface {0} is down, and bringing it up is not permitted")]
    Down(String),
    /// Its MTU is another one than the cable's, and this user may not change that.
    #[error(
        "the interface {name} has an MTU of {is} bytes, the cable {wanted}, and changing it is not permitted"
    )]
    Mtu {
        /// The interface's.
        name: String,
        /// Bytes, at present.
        is: u32,
        /// Bytes, of the cable.
        wanted: u32,
    },
    /// Anything else that the kernel refuses.
    #[error("interface {name}: {doing}: {error}")]
    Refused {
        /// The interface's.
        name: String,
        /// The request.
        doing: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl DeviceError {
    /// What to do about it, if there is one thing: a command, or a sentence.
    pub fn help(&self) -> Option<String> {
        let up = |name: &str| format!("sudo ip link set dev {name} up");
        let make = |kind: Kind, name: &str| {
            format!("sudo ip tuntap add dev {name} mode {kind} user $USER")
        };
        match self {
            Self::NoDriver => Some("sudo modprobe tun".into()),
            Self::Driver(_) => Some("sudo chmod 0666 /dev/net/tun".into()),
            Self::MayNotMake { kind, name } => {
                Some(format!("{} && {}", make(*kind, name), up(name)))
            }
            Self::NotOwner { kind, name } => Some(format!(
                "sudo ip tuntap del dev {name} mode {kind} && {} && {}",
                make(*kind, name),
                up(name)
            )),
            Self::Busy(_) => {
                Some("each interface is one end of one cable: use another name".into())
            }
            Self::OtherKind { .. } | Self::Name(_) => Some("use another name".into()),
            Self::Down(name) => Some(up(name)),
            Self::Mtu { name, wanted, .. } => {
                Some(format!("sudo ip link set dev {name} mtu {wanted}"))
            }
            Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_may_not_be_made_comes_with_the_command_that_makes_it() {
        let (kind, name) = (Kind::Tun, "heptad0".to_owned());
        let error = DeviceError::MayNotMake { kind, name };
        assert_eq!(
            error.to_string(),
            "not permitted to make the tun interface heptad0"
        );
        assert_eq!(
            error.help().as_deref(),
            Some(
                "sudo ip tuntap add dev heptad0 mode tun user $USER && sudo ip link set dev heptad0 up"
            )
        );
    }
}
