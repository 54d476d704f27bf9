//! Layer 2: Ethernet, VLAN tags, ARP and the neighbour cache.
