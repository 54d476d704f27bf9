//! The host's MIB: standard counter names (RFC 4293, 4022, 4113, Linux's TcpExt), and one count for each drop reason.
use crate::DropReason;
use alloc::vec::Vec;

macro_rules! counters {
    ($($group:ident { $($variant:ident = $name:literal,)* })*) => {
        /// A counter of the MIB. The variant is group and name in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // the names are the MIB's own
        pub enum Counter { $($($variant,)*)* }
        impl Counter {
            /// Every counter in order of declaration, by group.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];
            /// `Ip`, `Icmp`, `Ip6`, `Icmp6`, `Igmp`, `Tcp`, `Udp`, `UdpLite`, `TcpExt`, `IpExt`.
            pub const fn group(self) -> &'static str { match self { $($(Self::$variant => stringify!($group),)*)* } }
            /// The name in the MIB, as in `/proc/net/snmp`.
            pub const fn name(self) -> &'static str { match self { $($(Self::$variant => $name,)*)* } }
        }
    };
}
counters! {
    Ip {
        IpInReceives = "InReceives", IpInHdrErrors = "InHdrErrors", IpInAddrErrors = "InAddrErrors",
        IpForwDatagrams = "ForwDatagrams", IpInUnknownProtos = "InUnknownProtos", IpInDiscards = "InDiscards",
        IpInDelivers = "InDelivers", IpOutRequests = "OutRequests", IpOutDiscards = "OutDiscards",
        IpOutNoRoutes = "OutNoRoutes", IpReasmTimeout = "ReasmTimeout", IpReasmReqds = "ReasmReqds",
        IpReasmOks = "ReasmOKs", IpReasmFails = "ReasmFails", IpFragOks = "FragOKs", IpFragFails = "FragFails",
        IpFragCreates = "FragCreates", IpOutTransmits = "OutTransmits",
    }
    Icmp {
        IcmpInMsgs = "InMsgs", IcmpInErrors = "InErrors", IcmpInCsumErrors = "InCsumErrors",
        IcmpInDestUnreachs = "InDestUnreachs", IcmpInTimeExcds = "InTimeExcds", IcmpInParmProbs = "InParmProbs",
        IcmpInEchos = "InEchos", IcmpInEchoReps = "InEchoReps", IcmpOutMsgs = "OutMsgs",
        IcmpOutErrors = "OutErrors", IcmpOutRateLimitHost = "OutRateLimitHost",
        IcmpOutRateLimitGlobal = "OutRateLimitGlobal",
        IcmpOutDestUnreachs = "OutDestUnreachs", IcmpOutTimeExcds = "OutTimeExcds",
        IcmpOutParmProbs = "OutParmProbs", IcmpOutEchos = "OutEchos", IcmpOutEchoReps = "OutEchoReps",
    }
    Ip6 {
        Ip6InReceives = "InReceives", Ip6InHdrErrors = "InHdrErrors", Ip6InTooBigErrors = "InTooBigErrors",
        Ip6InNoRoutes = "InNoRoutes", Ip6InAddrErrors = "InAddrErrors", Ip6InUnknownProtos = "InUnknownProtos",
        Ip6InTruncatedPkts = "InTruncatedPkts", Ip6InDelivers = "InDelivers",
        Ip6OutForwDatagrams = "OutForwDatagrams", Ip6OutRequests = "OutRequests", Ip6OutDiscards = "OutDiscards",
        Ip6OutNoRoutes = "OutNoRoutes", Ip6ReasmTimeout = "ReasmTimeout", Ip6ReasmReqds = "ReasmReqds",
        Ip6ReasmOks = "ReasmOKs", Ip6ReasmFails = "ReasmFails", Ip6FragOks = "FragOKs", Ip6FragFails = "FragFails",
        Ip6FragCreates = "FragCreates", Ip6InMcastPkts = "InMcastPkts", Ip6OutMcastPkts = "OutMcastPkts",
        Ip6InOctets = "InOctets", Ip6OutOctets = "OutOctets", Ip6InNoEctPkts = "InNoECTPkts",
        Ip6InEct1Pkts = "InECT1Pkts", Ip6InEct0Pkts = "InECT0Pkts", Ip6InCePkts = "InCEPkts", Ip6OutTransmits = "OutTransmits",
    }
    Icmp6 {
        Icmp6InMsgs = "InMsgs", Icmp6InErrors = "InErrors", Icmp6OutMsgs = "OutMsgs",
        Icmp6InCsumErrors = "InCsumErrors",
        Icmp6InDestUnreachs = "InDestUnreachs", Icmp6InPktTooBigs = "InPktTooBigs",
        Icmp6InTimeExcds = "InTimeExcds", Icmp6InParmProblems = "InParmProblems", Icmp6InEchos = "InEchos",
        Icmp6InEchoReplies = "InEchoReplies", Icmp6InGroupMembQueries = "InGroupMembQueries",
        Icmp6InGroupMembResponses = "InGroupMembResponses",
        Icmp6InGroupMembReductions = "InGroupMembReductions", Icmp6InRouterSolicits = "InRouterSolicits",
        Icmp6InRouterAdvertisements = "InRouterAdvertisements", Icmp6InNeighborSolicits = "InNeighborSolicits",
        Icmp6InNeighborAdvertisements = "InNeighborAdvertisements", Icmp6InRedirects = "InRedirects",
        Icmp6InMldv2Reports = "InMLDv2Reports",
        Icmp6OutDestUnreachs = "OutDestUnreachs", Icmp6OutPktTooBigs = "OutPktTooBigs",
        Icmp6OutTimeExcds = "OutTimeExcds", Icmp6OutParmProblems = "OutParmProblems", Icmp6OutEchos = "OutEchos",
        Icmp6OutEchoReplies = "OutEchoReplies", Icmp6OutGroupMembResponses = "OutGroupMembResponses",
        Icmp6OutGroupMembReductions = "OutGroupMembReductions", Icmp6OutRouterSolicits = "OutRouterSolicits",
        Icmp6OutRouterAdvertisements = "OutRouterAdvertisements",
        Icmp6OutNeighborSolicits = "OutNeighborSolicits",
        Icmp6OutNeighborAdvertisements = "OutNeighborAdvertisements", Icmp6OutMldv2Reports = "OutMLDv2Reports",
    }
    Igmp {
        IgmpInQueries = "InQueries", IgmpInReports = "InReports", IgmpInLeaves = "InLeaves",
        IgmpInErrors = "InErrors", IgmpOutReports = "OutReports", IgmpOutLeaves = "OutLeaves",
    }
    Tcp {
        TcpActiveOpens = "ActiveOpens", TcpPassiveOpens = "PassiveOpens", TcpAttemptFails = "AttemptFails",
        TcpEstabResets = "EstabResets", TcpInSegs = "InSegs", TcpOutSegs = "OutSegs",
        TcpRetransSegs = "RetransSegs", TcpInErrs = "InErrs", TcpOutRsts = "OutRsts", TcpInCsumErrors = "InCsumErrors",
    }
    Udp {
        UdpInDatagrams = "InDatagrams", UdpNoPorts = "NoPorts", UdpInErrors = "InErrors",
        UdpOutDatagrams = "OutDatagrams", UdpRcvbufErrors = "RcvbufErrors", UdpSndbufErrors = "SndbufErrors",
        UdpInCsumErrors = "InCsumErrors", UdpIgnoredMulti = "IgnoredMulti",
    }
    UdpLite {
        UdpLiteInDatagrams = "InDatagrams", UdpLiteNoPorts = "NoPorts", UdpLiteInErrors = "InErrors",
        UdpLiteOutDatagrams = "OutDatagrams", UdpLiteRcvbufErrors = "RcvbufErrors", UdpLiteSndbufErrors = "SndbufErrors",
        UdpLiteInCsumErrors = "InCsumErrors", UdpLiteIgnoredMulti = "IgnoredMulti",
    }
    TcpExt {
        TcpExtSyncookiesSent = "SyncookiesSent", TcpExtSyncookiesRecv = "SyncookiesRecv",
        TcpExtSyncookiesFailed = "SyncookiesFailed", TcpExtTcpReqQFullDoCookies = "TCPReqQFullDoCookies",
        TcpExtTcpReqQFullDrop = "TCPReqQFullDrop",
        TcpExtListenOverflows = "ListenOverflows", TcpExtListenDrops = "ListenDrops",
        TcpExtEmbryonicRsts = "EmbryonicRsts", TcpExtOutOfWindowIcmps = "OutOfWindowIcmps", TcpExtDelayedAcks = "DelayedACKs", TcpExtTw = "TW",
        TcpExtPawsEstab = "PAWSEstab", TcpExtTcpTimeouts = "TCPTimeouts", TcpExtTcpSynRetrans = "TCPSynRetrans",
        TcpExtTcpFastRetrans = "TCPFastRetrans", TcpExtTcpSlowStartRetrans = "TCPSlowStartRetrans",
        TcpExtTcpSackRecovery = "TCPSackRecovery", TcpExtTcpRenoRecovery = "TCPRenoRecovery",
        TcpExtTcpLossProbes = "TCPLossProbes", TcpExtTcpOfoQueue = "TCPOFOQueue", TcpExtTcpOfoDrop = "TCPOFODrop",
        TcpExtTcpRcvQDrop = "TCPRcvQDrop", TcpExtTcpDsackOldSent = "TCPDSACKOldSent", TcpExtTcpDsackRecv = "TCPDSACKRecv",
        TcpExtTcpAbortOnData = "TCPAbortOnData", TcpExtTcpAbortOnClose = "TCPAbortOnClose",
        TcpExtTcpAbortOnTimeout = "TCPAbortOnTimeout", TcpExtTcpAbortOnMemory = "TCPAbortOnMemory", TcpExtTcpAbortOnLinger = "TCPAbortOnLinger",
        TcpExtTcpDeferAcceptDrop = "TCPDeferAcceptDrop",
        TcpExtTcpFastOpenActive = "TCPFastOpenActive", TcpExtTcpFastOpenActiveFail = "TCPFastOpenActiveFail",
        TcpExtTcpFastOpenPassive = "TCPFastOpenPassive", TcpExtTcpFastOpenPassiveFail = "TCPFastOpenPassiveFail",
        TcpExtTcpFastOpenListenOverflow = "TCPFastOpenListenOverflow", TcpExtTcpFastOpenCookieReqd = "TCPFastOpenCookieReqd",
        TcpExtTcpChallengeAck = "TCPChallengeACK", TcpExtTcpSynChallenge = "TCPSYNChallenge",
        TcpExtTcpKeepAlive = "TCPKeepAlive", TcpExtTcpWinProbe = "TCPWinProbe",
        TcpExtTcpPureAcks = "TCPPureAcks", TcpExtTcpOrigDataSent = "TCPOrigDataSent",
        TcpExtTcpSpuriousRtos = "TCPSpuriousRTOs", TcpExtTcpToZeroWindowAdv = "TCPToZeroWindowAdv",
        TcpExtTcpSackReneging = "TCPSACKReneging", TcpExtTcpMtupFail = "TCPMTUPFail", TcpExtTcpMtupSuccess = "TCPMTUPSuccess",
        TcpExtTcpRcvCoalesce = "TCPRcvCoalesce", TcpExtTcpTimeWaitOverflow = "TCPTimeWaitOverflow",
    }
    IpExt {
        IpExtInOctets = "InOctets", IpExtOutOctets = "OutOctets", IpExtInBcastPkts = "InBcastPkts",
        IpExtOutBcastPkts = "OutBcastPkts", IpExtInNoEctPkts = "InNoECTPkts", IpExtInEct1Pkts = "InECT1Pkts", IpExtInEct0Pkts = "InECT0Pkts",
        IpExtInCePkts = "InCEPkts", IpExtInCsumErrors = "InCsumErrors",
        IpExtInMcastPkts = "InMcastPkts", IpExtOutMcastPkts = "OutMcastPkts",
    }
}

/// All counts of one host.
#[derive(Clone, Debug)]
pub struct Counters {
    values: Vec<u64>,
    drops: Vec<u64>,
}
impl Default for Counters {
    fn default() -> Self {
        Self {
            values: alloc::vec![0; Counter::ALL.len()],
            drops: alloc::vec![0; DropReason::ALL.len()],
        }
    }
}
impl Counters {
    /// Adds `n`.
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(v) = self.values.get_mut(counter as usize) {
            *v = v.wrapping_add(n);
        }
    }
    /// A value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or(0)
    }
    /// Counts a drop.
    pub fn dropped(&mut self, reason: DropReason) {
        if let Some(v) = self.drops.get_mut(reason as usize) {
            *v = v.wrapping_add(1);
        }
    }
    /// Packets discarded for this reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }
}
