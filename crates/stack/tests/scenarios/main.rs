//! Stories of two hosts (and a router) on cables wired by hand, in virtual time: what programs on them see.
mod binding;
mod conflicts;
mod datagrams;
mod devices;
mod discovery;
mod disorder;
mod echo;
mod families;
mod losses;
mod messages;
mod paths;
mod raw;
mod refusals;
mod rig;
mod streams;
mod udp_lite;
