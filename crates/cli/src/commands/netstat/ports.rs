//! `netstat -i`: ports and what they counted.
use super::print_answers;
use crate::control::client::Client;
use crate::control::{Answer, Ask, PortRow};
use crate::failure::Failure;

/// Prints the ports of one node, or of all, each under its name.
pub fn print(client: &Client, node: Option<String>, json: bool) -> Result<u8, Failure> {
    let only_one = node.is_some();
    let Answer::Ports { nodes } = client.ask(&Ask::Ports { node })? else {
        return Err(Failure::odd_answer());
    };
    print_answers(&nodes, (json, only_one), |node| {
        (node.node.as_str(), table(&node.ports))
    })
}

/// Real ports in the order of the node, `lo` last, as net-tools has it.
fn table(ports: &[PortRow]) -> String {
    let mut text = "Kernel Interface table\n\
        Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg\n"
        .to_owned();
    let (loopback, real): (Vec<_>, Vec<_>) = ports.iter().partition(|row| row.port == "lo");
    for row in real.into_iter().chain(loopback) {
        let flags = match (row.port.as_str(), &row.mac) {
            ("lo", _) => "LRU",
            (_, Some(_)) => "BMRU",
            (_, None) => "RU",
        };
        // No port has a ring that could overrun: the two OVR columns are 0.
        text += &format!(
            "{:<15} {:>5} {:>8} {:>6} {:>6} {:<6} {:>8} {:>6} {:>6} {:>6} {flags}\n",
            row.port,
            row.mtu,
            row.rx_ok,
            row.rx_err,
            row.rx_drop,
            0,
            row.tx_ok,
            row.tx_err,
            row.tx_drop,
            0,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_net_tools_byte_for_byte() {
        let row = |port: &str, mac: Option<&str>, mtu, rx_ok, tx_ok| PortRow {
            port: port.into(),
            mac: mac.map(str::to_owned),
            mtu,
            rx_ok,
            rx_err: 0,
            rx_drop: 0,
            rx_bytes: 0,
            tx_ok,
            tx_err: 0,
            tx_drop: 0,
            tx_bytes: 0,
        };
        let rows = [
            row("lo", None, 65_536, 63_499, 63_499),
            row("eth0", Some("02:fc:00:00:00:05"), 1_400, 13_947, 10_479),
        ];
        let expected = "\
Kernel Interface table
Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg
eth0             1400    13947      0      0 0         10479      0      0      0 BMRU
lo              65536    63499      0      0 0         63499      0      0      0 LRU
";
        assert_eq!(table(&rows), expected);
    }
}
