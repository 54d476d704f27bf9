//! Any mixture of threads repeats: random programs, each run twice, must tell the same story to the nanosecond.
mod rig;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use heptad_runtime::lab::topology::{Impairments, Loss};
use heptad_runtime::lab::{EventHash, Lab, LabOptions, Topology};
use heptad_runtime::stack::time::Duration;
use heptad_runtime::stack::{EventMask, Rng};
use heptad_runtime::{Clock, Node, Receiver, Sender, TcpListener, TcpStream, UdpSocket};
use rig::{Pair, start};

/// What a thread does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Sleep(u64),
    Datagram(u64),
    Receive(u64),
    Stream(usize),
    Put(u32),
    Take(u64),
}
impl Step {
    fn drawn(rng: &mut Rng) -> Self {
        let millis = rng.below(40);
        match rng.below(6) {
            0 => Self::Sleep(millis),
            1 => Self::Datagram(1 + rng.below(1400)),
            2 => Self::Receive(1 + millis),
            3 => Self::Stream(1 + rng.below(50_000) as usize),
            4 => Self::Put(rng.next_u32()),
            _ => Self::Take(1 + millis),
        }
    }
}

/// (nanoseconds, thread, what came of it) in the order in which it happened.
type Story = Vec<(u64, usize, String)>;

/// What a thread of the mixture works with.
struct Actor {
    number: usize,
    node: Node,
    datagrams: UdpSocket,
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    story: Arc<Mutex<Story>>,
}
impl Actor {
    fn act(&self, step: Step) -> String {
        match step {
            Step::Sleep(millis) => {
                self.node.network().sleep(Duration::from_millis(millis));
                "slept".into()
            }
            Step::Datagram(length) => {
                let sent = self.datagrams.send_to(&vec![1; length as usize], "b:9");
                format!("{sent:?}")
            }
            Step::Receive(millis) => {
                let timeout = Some(Duration::from_millis(millis));
                self.datagrams.set_read_timeout(timeout).expect("a timeout");
                format!("{:?}", self.datagrams.recv_from(&mut [0; 2000]))
            }
            Step::Stream(length) => format!("{:?}", self.echo(length)),
            Step::Put(item) => format!("{:?}", self.sender.send(item)),
            Step::Take(millis) => {
                let taken = self.receiver.recv_timeout(Duration::from_millis(millis));
                format!("{taken:?}")
            }
        }
    }
    fn echo(&self, length: usize) -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(&self.node, "b:7")?;
        stream.write_all(&vec![self.number as u8; length])?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)
    }
    fn run(&self, steps: &[Step]) {
        for step in steps {
            let result = self.act(*step);
            let now = self.node.network().now().as_nanos();
            let mut story = self.story.lock().expect("unpoisoned");
            story.push((now, self.number, format!("{step:?}: {result}")));
        }
    }
}

fn servers(pair: &Pair) {
    let datagrams = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    pair.network.spawn("datagram server", move || {
        let mut buf = [0; 2000];
        while let Ok((taken, from)) = datagrams.recv_from(&mut buf) {
            let _ = datagrams.send_to(&buf[..taken], from);
        }
    });
    let listener = TcpListener::bind(&pair.b, "b:7").expect("bind");
    let network = pair.network.clone();
    pair.network.spawn("stream server", move || {
        while let Ok((stream, peer)) = listener.accept() {
            network.spawn(&format!("echo {peer}"), move || {
                let _ = std::io::copy(&mut &stream, &mut &stream);
            });
        }
    });
}

fn run(seed: u64) -> (Story, Option<EventHash>, u64) {
    let mut rng = Rng::from_seed([seed as u8; 32]);
    let cable = Impairments {
        delay: Duration::from_micros(rng.below(20_000)),
        jitter: Duration::from_micros(rng.below(3_000)),
        loss: Loss::Random(0.03),
        duplicate: 0.03,
        reorder: 0.03,
        ..Impairments::default()
    };
    let options = LabOptions {
        seed,
        event_hash: true,
        observe: false,
        events: EventMask::NONE,
    };
    let lab = Lab::new(&Topology::pair(cable), options).expect("a lab");
    let pair = start(Clock::Virtual, lab, Vec::new());
    servers(&pair);
    let story = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = pair.network.channel(100);
    let threads: Vec<_> = (0..2 + rng.below(6) as usize)
        .map(|number| {
            let actor = Actor {
                number,
                node: pair.a.clone(),
                datagrams: UdpSocket::bind(&pair.a, "a:0").expect("bind"),
                sender: sender.clone(),
                receiver: receiver.clone(),
                story: story.clone(),
            };
            let steps: Vec<Step> = (0..12).map(|_| Step::drawn(&mut rng)).collect();
            pair.network
                .spawn(&format!("actor {number}"), move || actor.run(&steps))
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let summary = pair.network.stop();
    let story = std::mem::take(&mut *story.lock().expect("unpoisoned"));
    (story, summary.event_hash, summary.ended.as_nanos())
}

#[test]
fn any_mixture_of_threads_tells_the_same_story_twice() {
    for seed in 0..25 {
        let (first, second) = (run(seed), run(seed));
        assert!(first.0.len() >= 24 && first.1.is_some());
        assert!(first.0.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1).1, run(2).1, "another seed is another run");
}
