//! Why a packet was discarded: one enum for the whole host, counted in one place.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was discarded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $name,)* }
        impl DropReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// For people: what a capture's comment and `netstat -s` say.
            pub const fn text(self) -> &'static str { match self { $(Self::$name => $text,)* } }
            /// The identifier, for `--json`.
            pub const fn name(self) -> &'static str { match self { $(Self::$name => stringify!($name),)* } }
        }
    };
}
reasons! {
    // layers 1 and 2
    /// The port's transmit queue was full.
    TxQueueFull = "transmit queue full",
    /// A frame too short or with a malformed link header.
    LinkHeader = "malformed link header",
    /// A frame for another station.
    OtherHost = "frame for another station",
    /// An EtherType that nothing here handles.
    UnknownEtherType = "unknown EtherType",
    /// A VLAN tag that this port is not a member of.
    UnknownVlan = "unknown VLAN",
    /// The frame check sequence did not hold (a flag set by a cable).
    FrameCheck = "bad frame check sequence",
    /// A malformed ARP packet.
    ArpMalformed = "malformed ARP packet",
    /// Somebody else claims an address of this host, by ARP.
    ArpConflict = "claims an address of this host by ARP",
    /// Waiting for a neighbour's address: the queue was full.
    NeighbourQueueFull = "queue for an unresolved neighbour full",
    /// The neighbour never answered.
    NeighbourUnreachable = "neighbour did not answer",
    /// The neighbour table was full.
    NeighbourTableFull = "neighbour table full",
    /// Longer than the cable's MTU and not to be fragmented or cut.
    TooBig = "longer than the MTU",
    /// The queue of a real cable's end, to the kernel's interface, was full.
    DeviceQueueFull = "queue to the kernel's interface full",
    /// The kernel's interface did not take it (it is down).
    DeviceRefused = "refused by the kernel's interface",
    // layer 3
    /// A malformed IP header.
    IpHeader = "malformed IP header",
    /// The IP header's checksum did not hold.
    IpChecksum = "bad IP header checksum",
    /// Shorter than its header says.
    IpTruncated = "shorter than its IP header says",
    /// A source address that can't be one (multicast, broadcast, our own).
    MartianSource = "martian source address",
    /// A destination address that can't be one here (zero, loopback from outside).
    MartianDestination = "martian destination address",
    /// Not for us, and we do not forward.
    NotForUs = "not for this host",
    /// To a multicast group that this host is not in.
    NotOurGroup = "multicast group not joined",
    /// To a group, from a source that nobody here wants to hear.
    SourceFiltered = "source of a multicast group not wanted",
    /// A malformed message of IGMP or MLD.
    GroupMalformed = "malformed IGMP or MLD message",
    /// The checksum of an IGMP message did not hold.
    GroupChecksum = "bad IGMP checksum",
    /// An IGMP or MLD message with a TTL or hop limit other than 1: it may come from beyond the link.
    GroupHopLimit = "IGMP or MLD from beyond the link",
    /// An IGMP or MLD message without the router alert option.
    GroupNoAlert = "IGMP or MLD without a router alert",
    /// An MLD message whose source is no link-local address.
    GroupSource = "MLD from no link-local address",
    /// An IGMP or MLD message that hosts have no use for: reports of others, leaves, unknown types.
    GroupIgnored = "IGMP or MLD message for routers",
    /// A transparent host holds too much that nobody has looked at.
    StrangersFull = "too much waits for a way out",
    /// A transparent host was told that there is no way to the destination.
    StrangerRefused = "refused by the network outside",
    /// No route to the destination.
    NoRoute = "no route",
    /// TTL used up.
    TtlExceeded = "TTL exceeded",
    /// Needed fragments but said don't.
    FragmentationNeeded = "fragmentation needed but forbidden",
    /// Fragments that overlap with different content.
    FragmentOverlap = "overlapping fragments",
    /// Of one datagram some fragments can be marked and others not (RFC 3168 5.3).
    FragmentMarks = "fragments that differ in ECN",
    /// A fragment that contradicts its datagram's others.
    FragmentMalformed = "malformed fragment",
    /// A fragment that was there already.
    FragmentDuplicate = "duplicate fragment",
    /// The bound on memory for reassembly was reached.
    ReassemblyFull = "reassembly memory full",
    /// Not all fragments came in time.
    ReassemblyTimeout = "reassembly timed out",
    /// A protocol that nothing here handles.
    UnknownProtocol = "unknown protocol",
    /// A malformed ICMP message.
    IcmpMalformed = "malformed ICMP message",
    /// ICMP checksum did not hold.
    IcmpChecksum = "bad ICMP checksum",
    /// An ICMP message that is not answered (broadcast ping, unknown type).
    IcmpIgnored = "ICMP message ignored",
    /// An ICMP error about a packet whose source is no address of this host.
    IcmpOtherHost = "ICMP error about a packet of another host",
    /// An ICMP error about a packet that no socket here sent: forged, or its socket is gone (RFC 5927 4).
    IcmpNoFlow = "ICMP error about nothing that was sent here",
    /// An ICMP error about a fragment that does not say whose it was.
    IcmpLaterFragment = "ICMP error about a later fragment",
    /// An ICMP error about a segment that is not on its way: acknowledged, or never sent (RFC 5927 4.1).
    IcmpOutOfWindow = "ICMP error outside the send window",
    /// The queue of errors of the socket was full.
    ErrorQueueFull = "queue of errors full",
    /// Source routing and other options that this host refuses.
    IpOption = "IP option refused",
    /// Extension headers of IPv6 beyond the limits (too many, too long, too many options).
    ExtensionHeaders = "too many or too long extension headers",
    /// Neighbour discovery from beyond the link (the hop limit is not 255).
    NdpHopLimit = "neighbour discovery from beyond the link",
    /// A malformed message of neighbour discovery.
    NdpMalformed = "malformed neighbour discovery",
    /// Somebody else claims an address of this host.
    NdpDuplicateAddress = "claims an address of this host",
    /// A router's advertisement that this host did not ask for.
    RouterAdvertRefused = "router advertisement refused",
    /// A redirect: this host follows none.
    RedirectRefused = "redirect refused",
    /// The loopback queue was full.
    LoopbackFull = "loopback queue full",
    // layer 4
    /// A malformed UDP header.
    UdpHeader = "malformed UDP header",
    /// UDP checksum did not hold.
    UdpChecksum = "bad UDP checksum",
    /// No socket at this UDP port.
    UdpNoSocket = "no UDP socket",
    /// The UDP socket's receive buffer was full.
    UdpBufferFull = "UDP receive buffer full",
    /// A UDP-Lite checksum that covers less than the header or more than the datagram.
    UdpLiteCoverage = "illegal UDP-Lite coverage",
    /// A UDP-Lite checksum that covers less than its socket asks for.
    UdpLiteUncovered = "UDP-Lite coverage below the socket's",
    /// No socket for the identifier of this echo reply.
    EchoNoSocket = "no socket for this echo reply",
    /// The echo socket's receive buffer was full.
    EchoBufferFull = "echo receive buffer full",
    /// A raw socket's receive buffer was full.
    RawBufferFull = "raw receive buffer full",
    /// The checksum that a raw socket asked to be checked did not hold.
    RawChecksum = "bad checksum at a raw socket",
    /// A malformed TCP header.
    TcpHeader = "malformed TCP header",
    /// TCP checksum did not hold.
    TcpChecksum = "bad TCP checksum",
    /// No socket for this segment.
    TcpNoSocket = "no TCP socket",
    /// A segment to a broadcast or multicast address.
    TcpNotUnicast = "TCP to a group address",
    /// Outside the receive window (RFC 9293 3.10.7.4).
    TcpOutOfWindow = "outside the receive window",
    /// An old timestamp (PAWS, RFC 7323 5).
    TcpPaws = "old timestamp (PAWS)",
    /// A RST that is not at the expected sequence number (RFC 5961 3).
    TcpRstChallenged = "RST answered by a challenge ACK",
    /// A SYN on a synchronised connection (RFC 5961 4).
    TcpSynChallenged = "SYN answered by a challenge ACK",
    /// An ACK of something never sent or much too old (RFC 5961 5).
    TcpAckInvalid = "unacceptable ACK",
    /// Neither SYN, RST nor ACK where one is needed.
    TcpNoAck = "segment without ACK",
    /// All of it was there already.
    TcpDuplicate = "duplicate segment",
    /// A SYN that asks for another way of ECN feedback than one before it (RFC 9768 3.1.5).
    TcpSynContradicts = "SYN that contradicts an earlier one",
    /// The listener's SYN queue was full.
    TcpSynQueueFull = "SYN queue full",
    /// An ACK at a listener that sends SYN cookies, of none of them.
    TcpCookieForged = "forged SYN cookie",
    /// The end of a handshake whose listener waits for text (TCP_DEFER_ACCEPT).
    TcpDeferAccept = "handshake is over, text is waited for",
    /// An ACK of a SYN cookie that was sent more than two minutes ago.
    TcpCookieOld = "expired SYN cookie",
    /// The listener's accept queue was full.
    TcpAcceptQueueFull = "accept queue full",
    /// Out-of-order data beyond the bound.
    TcpReassemblyFull = "out-of-order queue full",
    /// The receive buffer was full (data after a shrunken or zero window).
    TcpBufferFull = "TCP receive buffer full",
    /// Data for a socket that was closed.
    TcpAfterClose = "data after close",
    /// The host's bound on memory of all sockets.
    HostMemory = "memory bound of the host",
    /// A SYN that a TIME-WAIT entry refused.
    TcpTimeWait = "refused in TIME-WAIT",
}
