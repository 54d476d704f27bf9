//! Programs in C, and the object that they load.
#![allow(dead_code)] // each test uses a part
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The object, which cargo builds beside the tests.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a name");
    test.with_file_name("libheptad_capi.so")
}

/// Compiles with gcc against the object.
pub fn compile(sources: &[&str], program: &Path, flags: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let object = path();
    let beside = object.parent().expect("a file has a folder");
    let done = Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Werror", "-pthread", "-o"])
        .arg(program)
        .args(sources.iter().map(|name| folder.join(name)))
        .args(flags)
        .arg(&object)
        .arg(format!("-Wl,-rpath,{}", beside.display()))
        .output();
    passed(&done.expect("gcc is there"));
}

/// It left with 0; else what it said is shown.
pub fn passed(done: &Output) {
    let said = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(
        done.status.success(),
        "{}\n{}{}",
        done.status,
        said[0],
        said[1]
    );
}
