//! `callthrough check`: are the settings sound, what do they relax, and how does one ask at each door?

use super::{Failure, Settings};
use crate::app;
use crate::config::{Config, DEFAULTS};

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    app::check(&config).map_err(|error| Failure::settings(error.to_string()))?;
    match &settings.config {
        Some(file) => println!("{}: sound.", file.display()),
        None => println!("No file was named: the defaults hold ({} lines of config.default.toml).", DEFAULTS.lines().count()),
    }
    relaxed(&config);
    samples(&config);
    Ok(())
}

/// One line for each thing the settings allow that the defaults do not.
fn relaxed(config: &Config) {
    println!("\nRelaxed:");
    let relaxed = config.relaxed();
    if relaxed.is_empty() {
        println!("  nothing; every legacy switch is off");
    }
    for line in relaxed {
        println!("  {line}");
    }
}

fn samples(config: &Config) {
    println!("\nA request for each door:");
    for (door, sample) in config.samples() {
        println!("  {door}\n    {}", sample.replace('\n', "\n    "));
    }
}
