//! The field's own libraries over our sockets, in virtual time: TLS, HTTP from both sides, DNS over UDP and TCP.
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use heptad_runtime::lab::{Cable, Lab};
use heptad_runtime::tokio::{TcpListener, TcpStream, UdpSocket};
use heptad_runtime::{Network, Node};
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType, rdata};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// 40 ms there and back, and one frame in fifty is lost.
fn network() -> (Network, Node, Node) {
    let lab = Lab::builder()
        .seed(11)
        .host("alice", "10.0.0.1/24")
        .host("bob", "10.0.0.2/24")
        .link("alice", "bob", Cable::new().delay("20ms").loss("2%"));
    let network = Network::virtual_time(lab.build().expect("a lab"));
    let node = |name| network.node(name).expect("a host");
    let (alice, bob) = (node("alice"), node("bob"));
    (network, alice, bob)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

type Anything = Box<dyn std::error::Error + Send + Sync>;

// ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A certificate for `bob`, and who trusts it.
fn identity() -> Result<(ServerConfig, ClientConfig), Anything> {
    let made = rcgen::generate_simple_self_signed(["bob".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

#[test]
fn tokio_rustls_shakes_hands_and_carries_a_megabyte() {
    let (network, alice, bob) = network();
    let (server, client) = identity().expect("a certificate");
    let sent = pattern(1 << 20);
    let back = network.block_on(async {
        let listener = TcpListener::bind(&bob, "bob:443").await?;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            let mut data = Vec::new();
            stream.read_to_end(&mut data).await?;
            stream.write_all(&data).await?;
            stream.shutdown().await
        });
        let stream = TcpStream::connect(&alice, "bob:443").await?;
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector
            .connect(ServerName::try_from("bob")?, stream)
            .await?;
        stream.write_all(&sent).await?;
        stream.shutdown().await?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await?;
        served.await??;
        Ok::<_, Anything>(back)
    });
    let back = back.expect("a runtime").expect("an echo");
    assert!(back == sent, "{} bytes came back", back.len());
}

#[test]
fn tokio_rustls_refuses_a_certificate_for_another_name() {
    let (network, alice, bob) = network();
    let (server, client) = identity().expect("a certificate");
    let refused = network.block_on(async {
        let listener = TcpListener::bind(&bob, "bob:443").await?;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            acceptor.accept(stream).await.map(drop)
        });
        let stream = TcpStream::connect(&alice, "bob:443").await?;
        let connector = TlsConnector::from(Arc::new(client));
        let answer = connector
            .connect(ServerName::try_from("mallory")?, stream)
            .await;
        Ok::<_, Anything>(answer.map(drop))
    });
    let error = refused
        .expect("a runtime")
        .expect("a connection")
        .expect_err("the name is wrong");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

// ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What axum accepts from.
struct Door(TcpListener);
impl axum::serve::Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }
    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Who asks, as axum tells a handler.
#[derive(Clone)]
struct Peer(SocketAddr);
impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Serves `/who`, `/page` and `/echo` at bob's port 80.
async fn serve(bob: &Node, page: Vec<u8>) -> io::Result<()> {
    let page = Bytes::from(page);
    let app = axum::Router::new()
        .route(
            "/who",
            get(|ConnectInfo(Peer(peer)): ConnectInfo<Peer>| async move { peer.ip().to_string() }),
        )
        .route("/page", get(|| async move { page }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .layer(axum::extract::DefaultBodyLimit::disable());
    let door = Door(TcpListener::bind(bob, "bob:80").await?);
    let service = app.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move { axum::serve(door, service).await });
    Ok(())
}

/// One request over a connection of its own.
async fn request(
    alice: &Node,
    request: hyper::http::request::Builder,
    body: Vec<u8>,
) -> Result<(u16, Bytes), Anything> {
    let stream = TcpStream::connect(alice, "bob:80").await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request
        .header("host", "bob")
        .body(Full::new(Bytes::from(body)))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

#[test]
fn axum_serves_and_tells_who_asked() {
    let (network, alice, bob) = network();
    let answers = network.block_on(async {
        serve(&bob, Vec::new()).await?;
        let get = |path| hyper::Request::get(path);
        let who = request(&alice, get("/who"), Vec::new()).await?;
        let none = request(&alice, get("/nowhere"), Vec::new()).await?;
        Ok::<_, Anything>((who, none.0))
    });
    let ((status, who), none) = answers.expect("a runtime").expect("answers");
    assert_eq!((status, &who[..]), (200, &b"10.0.0.1"[..]));
    assert_eq!(none, 404);
}

#[test]
fn hypers_client_gets_and_posts_megabytes_to_axum() {
    let (network, alice, bob) = network();
    let (page, upload) = (pattern(2 << 20), pattern(1 << 20));
    let answers = network.block_on(async {
        serve(&bob, page.clone()).await?;
        // Two connections at once.
        let (got, posted) = tokio::join!(
            request(&alice, hyper::Request::get("/page"), Vec::new()),
            request(&alice, hyper::Request::post("/echo"), upload.clone()),
        );
        Ok::<_, Anything>((got?, posted?))
    });
    let (got, posted) = answers.expect("a runtime").expect("answers");
    assert!(
        got.0 == 200 && got.1 == page,
        "{} bytes of the page",
        got.1.len()
    );
    assert!(
        posted.0 == 200 && posted.1 == upload,
        "{} bytes of the echo",
        posted.1.len()
    );
}

// ── DNS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// hickory's sockets are ours, on this node.
#[derive(Clone)]
struct OnNode {
    node: Node,
    handle: TokioHandle,
}
struct Datagrams(UdpSocket);

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;
    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        self.0
            .poll_recv_from(cx, &mut buf)
            .map_ok(|from| (buf.filled().len(), from))
    }
    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, buf, target)
    }
}

type Later<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for OnNode {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;
    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }
    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        _: Option<Duration>,
    ) -> Later<Self::Tcp> {
        let node = self.node.clone();
        Box::pin(async move { Ok(AsyncIoTokioAsStd(TcpStream::connect(&node, server).await?)) })
    }
    fn bind_udp(&self, local: SocketAddr, _: SocketAddr) -> Later<Self::Udp> {
        let node = self.node.clone();
        Box::pin(async move { Ok(Datagrams(UdpSocket::bind(&node, local).await?)) })
    }
}

/// The answer to a question: `www.lab` has one address, `big.lab` a hundred, which only fit into a stream; there is no other.
fn answer(question: &[u8], is_stream: bool) -> Result<Vec<u8>, Anything> {
    let question = Message::from_vec(question)?;
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.authoritative = true;
    for query in &question.queries {
        answer.add_query(query.clone());
        let addresses = match query.name().to_ascii().as_str() {
            "www.lab." => 1,
            "big.lab." => 100,
            _ => 0,
        };
        match (addresses, query.query_type()) {
            (0, _) => answer.metadata.response_code = ResponseCode::NXDomain,
            (100, _) if !is_stream => answer.metadata.truncation = true,
            (addresses, RecordType::A) => {
                answer.add_answers((1..=addresses).map(|n| {
                    let data = RData::A(rdata::A::new(192, 0, 2, n));
                    Record::from_rdata(query.name().clone(), 60, data)
                }));
            }
            _ => {}
        }
    }
    Ok(answer.to_vec()?)
}

async fn name_server(bob: &Node) -> io::Result<()> {
    tokio::spawn(answer_datagrams(UdpSocket::bind(bob, "bob:53").await?));
    tokio::spawn(answer_streams(TcpListener::bind(bob, "bob:53").await?));
    Ok(())
}

async fn answer_datagrams(socket: UdpSocket) -> Result<Infallible, Anything> {
    let mut question = [0; 1_500];
    loop {
        let (len, from) = socket.recv_from(&mut question).await?;
        socket
            .send_to(&answer(&question[..len], false)?, from)
            .await?;
    }
}

async fn answer_streams(listener: TcpListener) -> Result<Infallible, Anything> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // RFC 1035, 4.2.2: two bytes of length before each message.
            while let Ok(len) = stream.read_u16().await {
                let mut question = vec![0; len.into()];
                stream.read_exact(&mut question).await?;
                let answer = answer(&question, true)?;
                stream.write_u16(answer.len().try_into()?).await?;
                stream.write_all(&answer).await?;
            }
            Ok::<_, Anything>(())
        });
    }
}

#[test]
fn hickory_resolves_over_datagrams_and_over_a_stream_where_they_are_too_short() {
    let (network, alice, bob) = network();
    let answers = network.block_on(async {
        name_server(&bob).await?;
        let server = NameServerConfig::udp_and_tcp("10.0.0.2".parse::<IpAddr>()?);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let handle = TokioHandle::default();
        let resolver = Resolver::builder_with_config(
            config,
            OnNode {
                node: alice,
                handle,
            },
        )
        .build()?;
        let addresses = |found: hickory_resolver::lookup_ip::LookupIp| {
            let mut addresses: Vec<IpAddr> = found.iter().collect();
            addresses.sort();
            addresses
        };
        let www = addresses(resolver.lookup_ip("www.lab.").await?);
        let big = addresses(resolver.lookup_ip("big.lab.").await?);
        let none = resolver.lookup_ip("none.lab.").await.is_err();
        Ok::<_, Anything>((www, big, none))
    });
    let (www, big, none) = answers.expect("a runtime").expect("answers");
    let address = |n: u8| IpAddr::from([192, 0, 2, n]);
    assert_eq!(www, [address(1)]);
    assert_eq!(big, (1..=100).map(address).collect::<Vec<_>>());
    assert!(none, "there is no such name");
}
