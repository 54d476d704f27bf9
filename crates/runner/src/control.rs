//! Control messages (cmsg(3)) as they lie in a program's memory: a header of 16 bytes, data, padding to 8 bytes.

/// Bytes of a `struct cmsghdr`.
const HEADER: usize = 16;
/// What each message begins at a multiple of.
const ALIGN: usize = 8;

/// Level and type, and data, of a message.
pub type Message<'a> = ((i32, i32), &'a [u8]);

/// Appends a message.
pub fn push(out: &mut Vec<u8>, (level, kind): (i32, i32), data: &[u8]) {
    out.extend_from_slice(&(HEADER + data.len()).to_ne_bytes());
    out.extend_from_slice(&level.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Each message.
///
/// # Errors
/// `EINVAL` for one that is shorter than its header or longer than what is left, as Linux.
pub fn messages(bytes: &[u8]) -> Result<Vec<Message<'_>>, i32> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let [length, words] = [&header[..8], &header[8..]];
        let length = length.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
        let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        let data = rest.get(HEADER..length).ok_or(libc::EINVAL)?;
        let word = |at: usize| {
            let bytes = words.get(at..).and_then(|b| b.first_chunk());
            bytes.map_or(0, |b| i32::from_ne_bytes(*b))
        };
        found.push(((word(0), word(4)), data));
        rest = rest.get(length.next_multiple_of(ALIGN)..).unwrap_or(&[]);
    }
    Ok(found)
}

/// What of these messages fits into `room` bytes, and whether something had to be cut (`MSG_CTRUNC`): the last one loses of its
/// data, those behind it are left out, as in Linux's `put_cmsg`.
pub fn fit(bytes: &[u8], room: usize) -> (Vec<u8>, bool) {
    if bytes.len() <= room {
        return (bytes.to_vec(), false);
    }
    let mut out = Vec::new();
    for (name, data) in messages(bytes).unwrap_or_default() {
        let left = room - out.len();
        if left < HEADER {
            return (out, true);
        }
        let fits = data.get(..left - HEADER).unwrap_or(data);
        push(&mut out, name, fits);
        out.truncate(room);
        if fits.len() < data.len() {
            return (out, true);
        }
    }
    // Only the padding of the last one did not fit.
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_are_cut_as_linux_cuts_them() {
        let mut bytes = Vec::new();
        push(&mut bytes, (0, 8), &[7; 12]);
        push(&mut bytes, (0, 2), &64_i32.to_ne_bytes());
        assert_eq!(bytes.len(), 32 + 24);
        let all = [((0, 8), &[7; 12][..]), ((0, 2), &[64, 0, 0, 0])];
        assert_eq!(messages(&bytes).unwrap(), all);
        // Room, bytes written, whether it was cut.
        let table = [
            (100, 56, false),
            (56, 56, false),
            (52, 52, false),
            (50, 50, true),
            (48, 48, true),
            (40, 32, true),
            (32, 32, true),
            (20, 20, true),
            (15, 0, true),
            (0, 0, true),
        ];
        for (room, written, cut) in table {
            let (out, was_cut) = fit(&bytes, room);
            assert_eq!((out.len(), was_cut), (written, cut), "{room}");
            assert!(out.len() <= room);
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        let mut bytes = Vec::new();
        push(&mut bytes, (0, 8), &[7; 12]);
        for length in [0_u64, 15, 33, u64::MAX] {
            bytes[..8].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes), Err(libc::EINVAL), "{length}");
        }
        assert_eq!(messages(&bytes[..15]), Ok(Vec::new()));
    }
}
