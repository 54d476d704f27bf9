//! Netlink's addresses: `struct sockaddr_nl`, 12 bytes.

use super::answers::Want;
use super::calls::{Step, ask};
use crate::memory;
use crate::notify::Notification;
use crate::protocol::{Call, SocketNumber};
use heptad_runtime::stack::l5_session::sockaddr::Purpose;

/// Its bytes.
const LENGTH: usize = 12;

/// The address of a port and groups.
pub fn sockaddr(port: u32, groups: u32) -> Vec<u8> {
    let family = (libc::AF_NETLINK as u16).to_ne_bytes();
    let [port, groups] = [port, groups].map(u32::to_ne_bytes);
    [&family[..], &[0; 2], &port, &groups].concat()
}

/// Port and groups of an address.
fn decode(bytes: &[u8]) -> Result<(u32, u32), i32> {
    let address: &[u8; LENGTH] = bytes.first_chunk().ok_or(libc::EINVAL)?;
    let [f, g, _, _, a, b, c, d, w, x, y, z] = *address;
    if u16::from_ne_bytes([f, g]) != libc::AF_NETLINK as u16 {
        return Err(libc::EINVAL);
    }
    let [port, groups] = [[a, b, c, d], [w, x, y, z]].map(u32::from_ne_bytes);
    Ok((port, groups))
}

/// Whether a program may speak to this address: to the kernel, and without privileges to nobody else.
///
/// # Errors
/// `EPERM`; `EINVAL` for what is no address. Only `connect` takes `AF_UNSPEC`.
pub fn destination(bytes: &[u8], purpose: Purpose) -> Result<(), i32> {
    if matches!(purpose, Purpose::Connect) && bytes.starts_with(&[0, 0]) {
        return Ok(());
    }
    match decode(bytes)? {
        (0, 0) => Ok(()),
        _ => Err(libc::EPERM),
    }
}

/// `bind(2)`.
pub(super) fn bind(n: &Notification, socket: SocketNumber) -> Result<Step, i32> {
    let length = usize::try_from(n.args[2] as u32).map_err(|_| libc::EINVAL)?;
    let bytes = memory::read_vec(n.thread, n.args[1], length.min(LENGTH))?;
    let (port, groups) = decode(&bytes)?;
    let call = Call::BindNetlink {
        socket,
        port,
        groups,
    };
    Ok(ask(call, Want::Value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_and_only_the_kernel_is_spoken_to() {
        assert_eq!(decode(&sockaddr(4711, 0x11)), Ok((4711, 0x11)));
        assert_eq!(decode(&sockaddr(1, 0)[..11]), Err(libc::EINVAL));
        let send = |bytes: &[u8]| destination(bytes, Purpose::Send);
        assert_eq!(send(&sockaddr(0, 0)), Ok(()));
        assert_eq!(send(&sockaddr(7, 0)), Err(libc::EPERM));
        assert_eq!(send(&sockaddr(0, 1)), Err(libc::EPERM));
        assert_eq!(send(&[2; 16]), Err(libc::EINVAL));
        assert_eq!(send(&[0; 12]), Err(libc::EINVAL));
        assert_eq!(destination(&[0; 2], Purpose::Connect), Ok(()));
        assert_eq!(destination(&[], Purpose::Connect), Err(libc::EINVAL));
    }
}
