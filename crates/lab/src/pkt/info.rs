//! The fields of `tcp_info` by Linux's names, for assertions (`include/uapi/linux/tcp.h`).
use heptad_stack::l4_transport::tcp::Info;

use super::assertion::Scalar;

/// Each field with its value; none without a connection.
pub(super) fn fields(info: Option<Info>) -> Vec<(String, Scalar)> {
    let Some(info) = info else {
        return Vec::new();
    };
    info.fields()
        .map(|(name, value)| (format!("tcpi_{name}"), Scalar::Int(value.into())))
        .collect()
}
