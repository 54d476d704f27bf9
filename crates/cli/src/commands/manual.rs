//! `heptad completions` and `heptad man`: made from the same definition as the flags.
use std::fs;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{print_json, print_text};
use crate::args::{Cli, Man};
use crate::failure::Failure;

/// Prints what a shell reads to complete our words.
pub fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "heptad", &mut text);
    print_text(&String::from_utf8_lossy(&text))?;
    Ok(0)
}

/// Prints the page of the whole command, or writes a page for each command into a folder.
pub fn man(man: &Man, json: bool) -> Result<u8, Failure> {
    let command = Cli::command();
    let Some(folder) = &man.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print_text(&String::from_utf8_lossy(&page))?;
        return Ok(0);
    };
    let pages = pages(&command, "heptad");
    let wrong = |error: std::io::Error| {
        let folder = folder.display();
        Failure::usage(format!("cannot write pages into {folder}: {error}"))
    };
    fs::create_dir_all(folder).map_err(wrong)?;
    clap_mangen::generate_to(command, folder).map_err(wrong)?;
    if json {
        print_json(&serde_json::json!({ "pages": pages }))?;
    } else {
        print_text(&(pages.join("\n") + "\n"))?;
    }
    Ok(0)
}

/// `heptad.1`, `heptad-lab.1`, `heptad-lab-up.1`: a command and all below it that are shown.
fn pages(command: &clap::Command, name: &str) -> Vec<String> {
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    let below = shown.flat_map(|below| pages(below, &format!("{name}-{}", below.get_name())));
    std::iter::once(format!("{name}.1")).chain(below).collect()
}
