//! `netstat -g`: the groups that ports are in.
use super::print_answers;
use crate::control::client::Client;
use crate::control::{Answer, Ask, GroupRow};
use crate::failure::Failure;

/// Prints the groups of one node, or of all, each under its name.
pub fn print(client: &Client, node: Option<String>, json: bool) -> Result<u8, Failure> {
    let only_one = node.is_some();
    let Answer::Groups { nodes } = client.ask(&Ask::Groups { node })? else {
        return Err(Failure::odd_answer());
    };
    print_answers(&nodes, (json, only_one), |node| {
        (node.node.as_str(), table(&node.groups))
    })
}

/// Groups have no names here: with -n and without, addresses are shown.
fn table(groups: &[GroupRow]) -> String {
    let head = "IPv6/IPv4 Group Memberships\n\
        Interface       RefCnt Group\n\
        --------------- ------ ---------------------\n";
    let row = |row: &GroupRow| format!("{:<15} {:<6} {}\n", row.port, row.members, row.group);
    std::iter::once(head.to_owned())
        .chain(groups.iter().map(row))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let row = |port: &str, members, group: &str| GroupRow {
            port: port.into(),
            group: group.parse().expect("an address"),
            members,
        };
        let rows = [
            row("lo", 1, "224.0.0.1"),
            row("eth0", 3, "ff02::1:ff00:10"),
            row("eth0", 1, "ff02::1"),
        ];
        let expected = "\
IPv6/IPv4 Group Memberships
Interface       RefCnt Group
--------------- ------ ---------------------
lo              1      224.0.0.1
eth0            3      ff02::1:ff00:10
eth0            1      ff02::1
";
        assert_eq!(table(&rows), expected);
    }
}
