//! What the text says that a host is made with: `local=192.168.0.1/16,mtu=1500,tcp_sack=0`.
use heptad_lab::pkt::settings::Settings;

/// Bytes of the headers of IPv4 and TCP, of IPv6 and TCP.
const HEADERS: [u32; 2] = [40, 60];

/// Settings from a text; what is not understood, one by one.
pub(crate) fn parse(text: &str) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    settings.defaults();
    let refused = items(text)
        .into_iter()
        .filter_map(|item| apply(&mut settings, item).err())
        .collect();
    (settings, refused)
}

/// Items stand between commas; between spaces too, if each has its own `=`.
fn items(text: &str) -> Vec<&str> {
    let parts = text.split([',', ';']).flat_map(|part| {
        let has_many = part.matches('=').count() > 1 || part.trim_start().starts_with("--");
        match has_many {
            true => part.split_whitespace().collect(),
            false => vec![part.trim()],
        }
    });
    parts.filter(|item| !item.is_empty()).collect()
}

fn apply(settings: &mut Settings, item: &str) -> Result<(), String> {
    let item = item.trim_start_matches('-');
    let (name, value) = item.split_once('=').unwrap_or((item, ""));
    match name {
        "local" | "local_ip" => {
            let (ip, prefix) = value.split_once('/').unwrap_or((value, ""));
            settings.option("local_ip", Some(ip))?;
            match prefix {
                "" => Ok(()),
                prefix => {
                    settings.host.prefix_len = number(name, prefix)?;
                    Ok(())
                }
            }
        }
        "prefix_len" => {
            settings.host.prefix_len = number(name, value)?;
            Ok(())
        }
        "remote" => settings.option("remote_ip", Some(value)),
        "mss" => {
            let headers = HEADERS[usize::from(settings.host.local.is_ipv6())];
            settings.host.mtu = number::<u32>(name, value)?.saturating_add(headers);
            Ok(())
        }
        "gso" | "tso" => {
            settings.host.super_segments = !matches!(value, "0" | "off");
            Ok(())
        }
        name if name.starts_with("tcp_") || name.contains(['.', '/']) || name == "somaxconn" => {
            settings.sysctl(item)
        }
        name => settings.option(name, Some(value)),
    }
}

fn number<T: core::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{name}: `{value}` is no number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_the_host_that_scripts_expect() {
        let (settings, refused) = parse("");
        assert_eq!(settings.host.local.to_string(), "192.168.0.1");
        assert_eq!((settings.host.prefix_len, settings.host.mtu), (16, 1500));
        assert!(!settings.host.tcp.slow_start_after_idle);
        assert_eq!(refused, [""; 0]);
    }

    #[test]
    fn addresses_sizes_and_settings_are_taken_and_the_rest_is_told() {
        let (settings, refused) =
            parse("local=10.0.0.1/8, mss=1000,tcp_sack=0,tcp_rmem=4096 9000 10000,colour=red");
        assert_eq!(settings.host.local.to_string(), "10.0.0.1");
        assert_eq!((settings.host.prefix_len, settings.host.mtu), (8, 1040));
        assert!(!settings.host.tcp.sack);
        assert_eq!(settings.host.tcp.rmem, (9000, 10_000));
        assert_eq!(refused.len(), 1);
        let (settings, refused) = parse("--local_ip=10.0.0.2 --mtu=1400");
        assert_eq!((settings.host.mtu, refused.len()), (1400, 0));
    }
}
