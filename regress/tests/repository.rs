//! Rules that the whole repository keeps, checked by reading it.

use std::path::PathBuf;
use std::process::Command;

use trickle_regress::installation::project;

fn files() -> Vec<(PathBuf, String)> {
    let listed =
        Command::new("git").arg("-C").arg(project()).args(["ls-files", "-z"]).output().expect("git can be run");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    let read = |name: &str| {
        let text = std::fs::read_to_string(project().join(name)).ok()?;
        Some((PathBuf::from(name), text))
    };
    names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect()
}

fn is_word(text: &str, at: usize, length: usize) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    !text[..at].ends_with(part) && !text[at + length..].starts_with(part)
}

#[test]
fn unsafe_code_is_in_its_room() {
    let word = concat!("un", "safe");
    let mut found = Vec::new();
    for (name, text) in files() {
        if name.extension().is_none_or(|extension| extension != "rs") || name.starts_with("src/pg") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.match_indices(word).any(|(at, _)| is_word(code, at, word.len())) {
                found.push(format!("{}:{}: {}", name.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "outside src/pg:\n{}", found.join("\n"));
}

#[test]
fn every_block_of_it_says_why() {
    let (word, why) = (concat!("un", "safe {"), "SAFETY:");
    let mut found = Vec::new();
    for (name, text) in files() {
        if !name.starts_with("src/pg") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let above = &lines[number.saturating_sub(8)..=number];
            if code.contains(word) && !above.iter().any(|line| line.contains(why)) {
                found.push(format!("{}:{}: {}", name.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "without {why}\n{}", found.join("\n"));
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("http", "://10.")];
    let mut found = Vec::new();
    for (name, text) in files() {
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                found.push(format!("{}:{}: {}", name.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn modules_say_what_they_are_for() {
    let silent = |(name, text): (PathBuf, String)| {
        let source = name.extension().is_some_and(|extension| extension == "rs");
        (source && !text.trim_start().starts_with("//!")).then(|| name.display().to_string())
    };
    let silent: Vec<String> = files().into_iter().filter_map(silent).collect();
    assert!(silent.is_empty(), "files without a module comment:\n{}", silent.join("\n"));
}
