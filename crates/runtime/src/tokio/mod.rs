//! Sockets for tasks of tokio, shaped like `tokio::net`, on the nodes of a lab.
//!
//! In real time they work in any runtime of tokio. In virtual time the lab's clock and tokio's are one:
//!
//! | runtime | time |
//! |---|---|
//! | [`Network::block_on`](crate::Network::block_on) | exact: a packet arrives, and a task sees it, at the lab's nanosecond; timers of tokio fire at full milliseconds, as always. Time moves when all tasks wait, an idle hour at once. The same seed gives the same bytes. |
//! | `#[tokio::test(start_paused = true)]` | a packet is seen at the next full millisecond after it arrived |
//! | any other runtime | as real time: that runtime's clock is the wall's |
//!
//! `tokio::time` is the clock to ask in a task; `Network::now` may lag behind it until a socket is used.
//!
//! ```
//! use heptad_runtime::Network;
//! use heptad_runtime::lab::{Cable, Lab};
//! use heptad_runtime::tokio::{TcpListener, TcpStream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let lab = Lab::builder()
//!     .host("alice", "10.0.0.1/24")
//!     .host("bob", "10.0.0.2/24")
//!     .link("alice", "bob", Cable::new().delay("20ms"))
//!     .build()?;
//! let network = Network::virtual_time(lab);
//! let (alice, bob) = (network.node("alice").unwrap(), network.node("bob").unwrap());
//! let echo = network.block_on(async {
//!     let listener = TcpListener::bind(&bob, "0.0.0.0:7").await?;
//!     let server = tokio::spawn(async move {
//!         let (mut stream, _) = listener.accept().await?;
//!         let (mut read, mut write) = stream.split();
//!         tokio::io::copy(&mut read, &mut write).await
//!     });
//!     let mut stream = TcpStream::connect(&alice, "bob:7").await?;
//!     stream.write_all("안녕".as_bytes()).await?;
//!     stream.shutdown().await?;
//!     let mut echo = String::new();
//!     stream.read_to_string(&mut echo).await?;
//!     server.await.unwrap()?;
//!     Ok::<_, std::io::Error>(echo)
//! })??;
//! assert_eq!(echo, "안녕");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Dropping a future of these sockets loses nothing: a verb takes place at once and whole, or not at all. An exception is
//! `connect`, which is given up.
//!
//! Start reading at `waiting`: how a verb becomes a future; then `clock`.
mod clock;
mod datagram;
mod halves;
mod listener;
mod multicast;
mod stream;
mod waiting;

pub use datagram::UdpSocket;
pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use listener::TcpListener;
pub use stream::TcpStream;
