//! The README's commands work as printed: the `sh` blocks of "A first call" run in order, in one shell, beside a server.

use std::path::Path;
use std::process::Command;

use callthrough::app;
use callthrough::config::Config;

use super::support::folder::Folder;

/// The blocks of the section, joined; the shell stops at the first command that fails.
fn script(readme: &str) -> String {
    let section = readme.split("\n## ").find(|section| section.starts_with("A first call")).expect("the README has the section");
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let script = blocks.fold("set -euo pipefail\n".to_owned(), |script, block| script + block + "\n");
    assert!(script.matches("curl ").count() >= 8, "the section is not what this test reads:\n{script}");
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_call_works_as_printed() {
    let folder = Folder::new();
    let data = folder.file("data");
    let settings = format!("data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:0\"\nsip.listen = [\"127.0.0.1:0\"]\n", data.display());
    std::fs::write(folder.file("settings.toml"), &settings).unwrap();
    let running = app::start(Config::parse(&settings).unwrap()).await.unwrap();

    // As printed, but for the port and the place of the program.
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let script = script(&readme)
        .replace("127.0.0.1:8080", &running.http_addr.to_string())
        .replace("target/release/callthrough", env!("CARGO_BIN_EXE_callthrough"));
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(folder.path()).env("CALLTHROUGH_CONFIG", folder.file("settings.toml"));
    let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{said}\n{complained}");
    assert!(said.contains("<dialString>+15551230000</dialString>"), "{said}");
    assert!(said.contains("digits    +15551230000"), "{said}");
    assert!(said.contains("The books add up: 1 accounts"), "{said}");
    running.stop().await;
}
