//! Frames for somebody who looks for a while: a pcapng file written into a channel, by a thread of its own.
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::{Answers, is_closed};
use crate::control::Answer;
use heptad_lab::capture::Pcapng;
use heptad_runtime::FrameWatch;
use heptad_runtime::capture_file::names;

/// How often a silent lab looks whether anybody still wants frames.
const LOOK: Duration = Duration::from_millis(100);

impl Answers {
    pub(super) fn capture(
        &self,
        links: &[String],
        nodes: &[String],
        channel: Option<OwnedFd>,
    ) -> Result<Answer, String> {
        let channel = UnixStream::from(channel.ok_or("no channel came along")?);
        for link in links {
            self.links(Some(link), &[])?;
        }
        let (interfaces, names) = self
            .network
            .lab(|lab| (lab.interfaces().to_vec(), names(lab)));
        for node in nodes {
            let is_node =
                |interface: &heptad_lab::frames::Interface| node_of(&interface.name) == node;
            if !interfaces.iter().any(is_node) {
                let name = &self.name;
                return Err(format!("no cable ends at a node {node} in the lab {name}"));
            }
        }
        let wanted = interfaces
            .iter()
            .map(|interface| {
                let all = links.is_empty() && nodes.is_empty();
                let node = node_of(&interface.name);
                all || links.contains(&interface.link) || nodes.iter().any(|name| name == node)
            })
            .collect();
        let mut head = Vec::new();
        let pcapng = Pcapng::begin(&self.capture_head, &interfaces, &names, &mut head);
        let writer = Writer {
            watch: self.network.watch_frames(),
            pcapng,
            wanted,
            channel,
        };
        thread::Builder::new()
            .name("capture".into())
            .spawn(move || writer.write_all(head))
            .map_err(|error| error.to_string())?;
        Ok(Answer::Capture)
    }
}

/// `alice` of `alice/eth0`.
fn node_of(interface: &str) -> &str {
    interface.split('/').next().unwrap_or(interface)
}

struct Writer {
    watch: FrameWatch,
    pcapng: Pcapng,
    /// By number of the interface.
    wanted: Vec<bool>,
    channel: UnixStream,
}
impl Writer {
    /// Until nobody wants more, or the run is over. An error is a far end that went away.
    fn write_all(mut self, mut bytes: Vec<u8>) {
        while self.channel.write_all(&bytes).is_ok() && !is_closed(&self.channel) {
            bytes.clear();
            let Some(frames) = self.watch.next(LOOK) else {
                break;
            };
            for frame in &frames {
                let wanted = self.wanted.get(frame.interface as usize);
                if wanted.is_none_or(|wanted| *wanted) {
                    self.pcapng.record(frame, &mut bytes);
                }
            }
        }
        bytes.clear();
        self.pcapng.end(self.watch.missed(), &mut bytes);
        let _ = self.channel.write_all(&bytes); // the far end may have gone for good
    }
}
