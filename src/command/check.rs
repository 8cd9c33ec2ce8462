//! `callthrough check`: are the settings sound, and what do they relax?

use super::{Failure, Settings};

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    println!("The settings are sound.");
    println!("http    http://{}", config.http.listen);
    Ok(())
}
