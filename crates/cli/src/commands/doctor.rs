//! `heptad doctor`: what this machine allows.
use serde::Serialize;

use super::{print_json, print_text};
use crate::failure::Failure;
use crate::paint::{Paint, pad};

#[derive(Serialize)]
struct Row {
    name: String,
    ok: bool,
    needed: bool,
    detail: String,
}

/// Prints each check; 1 if something that Heptad needs is missing.
pub fn doctor(json: bool, paint: Paint) -> Result<u8, Failure> {
    let mut rows: Vec<Row> = heptad_runner::probe()
        .into_iter()
        .map(|check| Row {
            name: check.name.to_string(),
            ok: check.ok,
            needed: check.needed,
            detail: check.detail,
        })
        .collect();
    rows.push(runtime_folder());
    rows.push(python());
    rows.push(tun());
    let healthy = rows.iter().all(|row| row.ok || !row.needed);
    if json {
        print_json(&serde_json::json!({"healthy": healthy, "checks": rows}))?;
        return Ok(u8::from(!healthy));
    }
    let mut text = String::new();
    for row in &rows {
        let word = match (row.ok, row.needed) {
            (true, _) => paint.good("yes "),
            (false, true) => paint.bad("NO  "),
            (false, false) => paint.dim("no  "),
        };
        text += &format!("{word} {} {}\n", pad(&row.name, 28), row.detail);
    }
    text += if healthy {
        "\nHeptad can run unmodified programs here.\n"
    } else {
        "\nHeptad cannot run unmodified programs here; labs with built-in programs work.\n"
    };
    print_text(&text)?;
    Ok(u8::from(!healthy))
}

fn runtime_folder() -> Row {
    let folder = crate::control::folder::folder();
    Row {
        name: "folder for running labs".into(),
        ok: folder.is_ok(),
        needed: true,
        detail: folder.map_or_else(
            |failure| failure.message(),
            |path| path.display().to_string(),
        ),
    }
}

fn python() -> Row {
    let found = find_program("python3");
    Row {
        name: "python3".into(),
        ok: found.is_some(),
        needed: false,
        detail: found.map_or(
            "not found: the demonstration uses built-in programs".into(),
            |path| path.display().to_string(),
        ),
    }
}

fn tun() -> Row {
    let (ok, detail) = match heptad_runtime::device::usable() {
        Ok(()) if is_network_administrator() => {
            (true, "/dev/net/tun: interfaces can be made".to_owned())
        }
        Ok(()) => (
            true,
            "/dev/net/tun: interfaces of this user; sudo ip tuntap add dev heptad0 mode tap user $USER"
                .to_owned(),
        ),
        Err(error) => {
            let help = error.help().map(|help| format!("; {help}"));
            (false, format!("{error}{}", help.unwrap_or_default()))
        }
    };
    Row {
        name: "TAP and TUN".into(),
        ok,
        needed: false,
        detail,
    }
}

/// Whether this process has CAP_NET_ADMIN.
fn is_network_administrator() -> bool {
    const NET_ADMIN: u32 = 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> NET_ADMIN & 1 == 1)
}

/// A program in PATH.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
