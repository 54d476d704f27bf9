//! What became of a script.
use core::fmt::{self, Display, Formatter};
use core::time::Duration;

/// A script that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PktError {
    /// The text is no script.
    Syntax {
        /// Of the file, from 1.
        line: u32,
        /// What is wrong.
        what: String,
    },
    /// The script asks for what is not there: a setting, an option, a call.
    Unknown {
        /// Of the file, from 1.
        line: u32,
        /// What it asks for.
        what: String,
    },
    /// What happened is not what the script says.
    Differs {
        /// Of the file, from 1.
        line: u32,
        /// Virtual time since the script's begin when it was noticed.
        at: Duration,
        /// The first thing that differs, by name, with both values.
        what: String,
        /// Both packets, where it is a packet that differs.
        packets: Option<Box<Packets>>,
    },
}
impl PktError {
    /// Of the file, from 1.
    pub fn line(&self) -> u32 {
        match self {
            Self::Syntax { line, .. } | Self::Unknown { line, .. } | Self::Differs { line, .. } => {
                *line
            }
        }
    }
    /// What is wrong, without its place.
    pub fn what(&self) -> &str {
        match self {
            Self::Syntax { what, .. } | Self::Unknown { what, .. } | Self::Differs { what, .. } => {
                what
            }
        }
    }
    /// Both packets, where it is a packet that differs.
    pub fn packets(&self) -> Option<&Packets> {
        match self {
            Self::Differs { packets, .. } => packets.as_deref(),
            _ => None,
        }
    }
    /// A packet has its own time, all else the time at which it was noticed.
    pub(super) fn noticed_at(mut self, now: Duration) -> Self {
        if let Self::Differs {
            at, packets: None, ..
        } = &mut self
        {
            *at = now;
        }
        self
    }
}
impl Display for PktError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line())?;
        if let Self::Differs { at, .. } = self {
            write!(f, "at {} s: ", seconds(*at))?;
        }
        f.write_str(self.what())?;
        match self.packets() {
            Some(packets) => write!(f, "\n{packets}"),
            None => Ok(()),
        }
    }
}
impl std::error::Error for PktError {}

/// What a script expects, and what was sent instead; as scripts write packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// Of the script.
    pub expected: Timed,
    /// `None`: nothing was sent.
    pub sent: Option<Timed>,
}
impl Display for Packets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  expected  {}", self.expected)?;
        match &self.sent {
            Some(sent) => write!(f, "\n  sent      {sent}"),
            None => write!(f, "\n  sent      nothing"),
        }
    }
}

/// A packet and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Seconds since the script's begin, a range of them, or `*`.
    pub time: String,
    /// Flags, sequence numbers, acknowledgment, window, options.
    pub packet: String,
}
impl Display for Timed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}  > {}", self.time, self.packet)
    }
}

/// As scripts write times.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

/// What a script that passed did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Events of it.
    pub events: usize,
    /// What was sent behind the last packet that the script expects, until it ended.
    pub unsaid: Vec<Timed>,
    /// Virtual time that went by.
    pub time: Duration,
}
