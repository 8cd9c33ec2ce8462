//! The program from outside: what it prints, what it complains of, and with which status it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::support::folder::Folder;

/// A settings file with these lines; free ports and a data directory of its own unless they say otherwise.
fn settings(folder: &Folder, lines: &str) -> PathBuf {
    let file = folder.file("settings.toml");
    let mut text = format!("data_dir = \"{}\"\n", folder.file("data").display());
    if !lines.contains("http.listen") {
        text.push_str("http.listen = \"127.0.0.1:0\"\n");
    }
    if !lines.contains("sip.listen") {
        text.push_str("sip.listen = [\"127.0.0.1:0\"]\n");
    }
    std::fs::write(&file, text + lines).unwrap();
    file
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callthrough"));
    command.env_remove("CALLTHROUGH_CONFIG");
    command
}

fn run(words: &[&str], settings: &Path) -> Output {
    program().args(words).arg("--config").arg(settings).output().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_broken_configuration_is_named_with_its_line_and_nothing_is_made() {
    let folder = Folder::new();
    for (line, named) in [
        ("htp.listen = \"127.0.0.1:0\"\n", "htp"),
        ("[http]\nlisten = \"somewhere\"\n", "somewhere"),
        ("[ledger]\nspend_cap = \"1,50\"\n", "1.25"),
        ("[callthrough]\nemergency = \"route\"\n", "route"),
    ] {
        let file = folder.file("broken.toml");
        std::fs::write(&file, line).unwrap();
        for command in ["serve", "check"] {
            let output = run(&[command], &file);
            assert_eq!(output.status.code(), Some(2), "{line}");
            let complaint = complaint(&output);
            assert!(complaint.contains("broken.toml") && complaint.contains("line ") && complaint.contains(named), "{complaint}");
        }
    }
    assert!(!folder.file("data").exists());
}

#[test]
fn files_that_are_missing_or_not_secret_are_named_with_their_key() {
    let folder = Folder::new();
    let key = folder.file("master.key");
    std::fs::write(&key, [7; 32]).unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, open_to_all).unwrap();
    for (lines, named) in [
        ("geoip.file = \"/nowhere/country.mmdb\"\n".to_owned(), ["geoip.file", "/nowhere/country.mmdb"]),
        ("http.tls_certificate = \"/nowhere/a.pem\"\nhttp.tls_key = \"/nowhere/b.pem\"\n".to_owned(), ["http.tls_", "/nowhere/"]),
        (format!("master_key_file = \"{}\"\n", key.display()), ["master_key_file", "chmod 600"]),
    ] {
        let output = run(&["check"], &settings(&folder, &lines));
        assert_eq!(output.status.code(), Some(2), "{lines}");
        let complaint = complaint(&output);
        assert!(named.iter().all(|word| complaint.contains(word)), "{complaint}");
    }
}

#[test]
fn a_busy_port_is_named_with_its_key() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = settings(&folder, &format!("http.listen = \"{}\"\n", taken.local_addr().unwrap()));
    let output = run(&["serve"], &file);
    assert_eq!(output.status.code(), Some(1));
    let complaint = complaint(&output);
    assert!(complaint.contains("http.listen") && complaint.contains(&taken.local_addr().unwrap().to_string()), "{complaint}");
}

#[test]
fn serve_says_where_it_is_and_stops_when_told() {
    let folder = Folder::new();
    let file = settings(&folder, "");
    let mut server = program().arg("serve").arg("--config").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    let mut lines = Vec::new();
    for _ in 0..5 {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        lines.push(line);
    }
    assert!(lines[0].contains("callthrough.sqlite") && lines[1].contains("http://127.0.0.1:") && lines[2].contains("sip:127.0.0.1:"));
    assert!(!lines[1].contains(":0\n") && lines[3].contains("/admin/welcome/") && lines[4].contains("callthrough key create"), "{lines:?}");

    // The key is made beside the running server.
    let output = run(&["key", "create", "--name", "admin"], &file);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("ct_live_"), "{}", complaint(&output));
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success() && server.wait().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "Stopped.\n");
    let output = run(&["ledger", "verify"], &file);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("The books add up"), "{}", complaint(&output));
}

#[test]
fn books_that_are_not_there_are_not_made_by_looking() {
    let folder = Folder::new();
    let output = run(&["ledger", "verify"], &settings(&folder, ""));
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("there are no books"), "{}", complaint(&output));
    assert!(!folder.file("data").exists());
}

#[test]
fn shells_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("simulate"), "{shell}");
    }
}

#[test]
fn a_phone_that_nobody_answers_is_told_so() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{silent}/callthrough?p=secret&to=%targetNumber%");
    let output = program().args(["simulate", "--url", &url, "--target", "+15551231234"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("does not answer") && !complaint(&output).contains("secret"), "{}", complaint(&output));
}

#[test]
fn a_password_that_everybody_may_read_stops_the_start() {
    let folder = Folder::new();
    let file = settings(&folder, "database.url = \"postgres://ann:secret@127.0.0.1:1/books\"\n");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, readable).unwrap();
    let output = run(&["check"], &file);
    let complaint = complaint(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint.contains("database.url") && complaint.contains("chmod") && !complaint.contains("secret"), "{complaint}");
}

#[test]
fn the_demo_tells_its_story_and_every_step_is_as_told() {
    let output = program().args(["demo", "--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", complaint(&output));
    assert!(said.contains("29 of 29 steps were as told"), "{said}");
    assert!(said.contains("dial +420601123000") && said.contains("credit_exhausted") && said.contains("503 no circuits"), "{said}");
}
