//! The plug-in, driven as packetdrill drives it: loaded, preloaded too, with a thread for calls that wait.
use std::process::Command;

mod object;

#[test]
fn the_plug_in_answers_as_packetdrill_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("loader");
    object::compile(&["loader.c"], &program, &["-ldl"]);
    let done = Command::new("timeout")
        .arg("30")
        .arg(&program)
        .arg(object::path())
        .env("LD_PRELOAD", object::path())
        .output();
    object::passed(&done.expect("timeout runs"));
}
