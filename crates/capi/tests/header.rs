//! The header for C is what cbindgen makes of the sources, and a program that uses it works.
use std::path::{Path, PathBuf};
use std::process::Command;

use cbindgen::{Builder, Config, Language, Style};

mod object;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn generated() -> String {
    let system = [
        "sockaddr",
        "iovec",
        "msghdr",
        "pollfd",
        "epoll_event",
        "timeval",
    ];
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        include_guard: Some("HEPTAD_H".into()),
        cpp_compat: true,
        documentation: true,
        usize_is_size_t: true,
        no_includes: true,
        header: Some(
            "/* Sockets of Heptad for C. Made by cbindgen from crates/capi; do not edit. */".into(),
        ),
        after_includes: Some(INCLUDES.into()),
        ..Config::default()
    };
    let renames = system.map(|name| (name.into(), format!("struct {name}")));
    config.export.rename.extend(renames);
    config
        .export
        .rename
        .insert("Heptad".into(), "heptad".into());
    config.export.exclude = [
        "PacketdrillInterface",
        "packetdrill_interface_init",
        "getsockopt",
    ]
    .map(String::from)
    .to_vec();
    let sources = [
        "host",
        "calls/cable",
        "calls/sockets",
        "calls/bytes",
        "calls/options",
        "calls/readiness",
    ];
    let builder = sources
        .iter()
        .fold(Builder::new().with_config(config), |builder, name| {
            builder.with_src(Path::new(ROOT).join(format!("src/{name}.rs")))
        });
    let mut text = Vec::new();
    builder
        .generate()
        .expect("the sources parse")
        .write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

const INCLUDES: &str = "#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
";

/// `HEPTAD_BLESS=1` writes it anew.
#[test]
fn the_header_is_what_cbindgen_makes_of_the_sources() {
    let path = Path::new(ROOT).join("include/heptad.h");
    let text = generated();
    if std::env::var_os("HEPTAD_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the header can be written");
    }
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        is == text,
        "include/heptad.h is not of these sources: HEPTAD_BLESS=1 cargo test -p heptad-capi --test header"
    );
}

#[test]
fn a_program_of_one_thread_speaks_with_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let program: PathBuf = folder.path().join("echo");
    object::compile(&["echo.c"], &program, &[&format!("-I{ROOT}/include")]);
    let done = Command::new("timeout").arg("20").arg(&program).output();
    object::passed(&done.expect("timeout runs"));
}
