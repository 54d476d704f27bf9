//! One connection of a script: the numbers that the script has for it, and the host's own.
use std::collections::BTreeMap;
use std::net::SocketAddr;

use heptad_stack::wire::tcp::{Flags, TcpHeader, TcpOption, TcpOptions};

use super::script::{OptionSpec, TcpSpec};
use super::segment::wire_options;

/// A connection, or a datagram socket and its peer.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Ours minus the script's: of our sequence numbers, once our SYN was seen.
    local_offset: Option<u32>,
    /// Our timestamps: the first that was seen as the script has it, and as it was.
    first_value: Option<(u32, u32)>,
    /// Each value of the script's and ours of the segment that it stood for.
    values: BTreeMap<u32, u32>,
    /// IPv6: as the script has it, and as it was.
    pub flow_label: Option<(u32, u32)>,
}
impl Flow {
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            local_offset: None,
            first_value: None,
            values: BTreeMap::new(),
            flow_label: None,
        }
    }

    /// The peer's segment as it goes to the host. `Err`: what the script leaves open.
    pub fn header(&self, spec: &TcpSpec, ports: Option<(u16, u16)>) -> Result<TcpHeader, String> {
        let flags = Flags(spec.flags.bits);
        let offset = self.local_offset.unwrap_or(0);
        let acks = flags.contains(Flags::ACK);
        let options = spec.options.iter().flatten();
        let options: Result<Vec<_>, _> = options.map(|option| self.option(option, acks)).collect();
        let options =
            wire_options(&options?).ok_or("the options are longer than a header holds")?;
        let (src_port, dst_port) = ports.unwrap_or((self.remote.port(), self.local.port()));
        Ok(TcpHeader {
            src_port,
            dst_port,
            seq: spec.seq,
            ack: match acks {
                true => spec.ack.wrapping_add(offset),
                false => spec.ack,
            },
            reserved: 0,
            flags,
            window: spec.window.unwrap_or(0),
            checksum: 0,
            urgent: spec.urgent,
            options,
        })
    }
    fn option(&self, option: &OptionSpec, acks: bool) -> Result<OptionSpec, String> {
        let offset = self.local_offset.unwrap_or(0);
        Ok(match option {
            OptionSpec::Sack(blocks) => {
                let moved = blocks.iter();
                let moved = moved.map(|(a, b)| (a.wrapping_add(offset), b.wrapping_add(offset)));
                OptionSpec::Sack(moved.collect())
            }
            OptionSpec::Timestamps { value, echo } if acks => OptionSpec::Timestamps {
                value: *value,
                echo: self.echo(*echo).ok_or_else(|| {
                    format!("ecr {echo} echoes a timestamp, and none of ours was seen before")
                })?,
            },
            other => other.clone(),
        })
    }
    /// Our timestamp that the script means.
    fn echo(&self, script: u32) -> Option<u32> {
        let exact = self.values.get(&script).copied();
        exact.or_else(|| {
            let (first, ours) = self.first_value?;
            Some(script.wrapping_sub(first).wrapping_add(ours))
        })
    }

    /// Our sequence number that the script means.
    pub fn ours(&self, script: u32) -> u32 {
        script.wrapping_add(self.local_offset.unwrap_or(0))
    }

    /// Learns what a segment of ours says that the script expected to be `spec`.
    pub fn learn(&mut self, seen: &TcpHeader, spec: &TcpSpec) {
        if seen.flags.contains(Flags::SYN) && spec.flags.bits & Flags::SYN.0 != 0 {
            self.local_offset = Some(seen.seq.wrapping_sub(spec.seq));
        }
        let expected = spec
            .options
            .iter()
            .flatten()
            .find_map(|option| match option {
                OptionSpec::Timestamps { value, .. } => Some(*value),
                _ => None,
            });
        if let (Some(script), Some((ours, _))) = (expected, timestamps(&seen.options)) {
            self.values.insert(script, ours);
            self.first_value.get_or_insert((script, ours));
        }
    }
    /// A segment of ours in the script's numbers.
    pub fn in_script(&self, seen: &TcpHeader) -> TcpHeader {
        let offset = self.local_offset.unwrap_or(0);
        let mut options = TcpOptions::NONE;
        let mut known = true;
        for option in seen.options.iter().flatten() {
            known &= options.push(match option {
                TcpOption::Timestamps { value, echo } => TcpOption::Timestamps {
                    value: match self.first_value {
                        Some((script, ours)) => value.wrapping_sub(ours).wrapping_add(script),
                        None => value,
                    },
                    echo,
                },
                other => other,
            });
        }
        options.pad();
        TcpHeader {
            seq: seen.seq.wrapping_sub(offset),
            options: if known { options } else { seen.options },
            ..*seen
        }
    }
}

/// Value and echo.
pub(super) fn timestamps(options: &TcpOptions) -> Option<(u32, u32)> {
    options.iter().flatten().find_map(|option| match option {
        TcpOption::Timestamps { value, echo } => Some((value, echo)),
        _ => None,
    })
}
