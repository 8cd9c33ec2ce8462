//! `callthrough simulate`: play the phone.

use std::path::PathBuf;

use super::{Failure, on_runtime};
use crate::simulate::{Exchange, Outcome, Phone, client, client_trusting};
use crate::types::Random;

/// Options of the simulated phone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  callthrough simulate --url 'http://127.0.0.1:8080/callthrough?u=%account[username]%&h=%sha1(%account[password]%)%&to=%targetNumber%' \\\n    --set username=johndow --set password=secretPhrase --target +15551231234"
)]
pub(super) struct Simulate {
    /// Account XML with the cth_ws_* nodes and the account's values
    #[arg(long, value_name = "FILE", required_unless_present = "url")]
    account: Option<PathBuf>,
    /// Template of the address (cth_ws_url)
    #[arg(long, value_name = "TEMPLATE")]
    url: Option<String>,
    /// Template of the body (cth_ws_postData); not empty means POST
    #[arg(long, value_name = "TEMPLATE")]
    post_data: Option<String>,
    /// Content-Type of the body (cth_ws_contentType)
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// GET, POST, PUT, DELETE (cth_ws_method)
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// A value of the account, for %account[NODE]%; wins over the file
    #[arg(long = "set", value_name = "NODE=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A value of the app, for %NAME% such as installid
    #[arg(long = "global", value_name = "NAME=VALUE", value_parser = pair)]
    global: Vec<(String, String)>,
    /// A header to add, such as X-Forwarded-For=192.0.2.1
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Send values as they are, not percent-encoded or JSON-escaped
    #[arg(long)]
    bare: bool,
    /// Certificates to trust besides the system's, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The number the user wants to reach, as typed
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    target: String,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let phone = self.phone()?;
        let client = match &self.ca {
            None => client(),
            Some(file) => client_trusting(&read(file)?),
        }
        .map_err(|error| Failure::other(format!("cannot make a client: {error}. Check the certificates of --ca")))?;
        let exchange = on_runtime(async {
            phone.ask(&client, &self.target, &Random::system()).await.map_err(|error| Failure::other(error.to_string()))
        })?;
        tell(&exchange)
    }

    fn phone(&self) -> Result<Phone, Failure> {
        let mut phone = match &self.account {
            None => Phone::default(),
            Some(file) => {
                let xml = String::from_utf8(read(file)?).map_err(|_| Failure::other(format!("{}: not UTF-8", file.display())))?;
                Phone::from_account_xml(&xml).map_err(|error| Failure::other(format!("{}: {error}", file.display())))?
            }
        };
        for (place, given) in [
            (&mut phone.service.url, &self.url),
            (&mut phone.service.post_data, &self.post_data),
            (&mut phone.service.content_type, &self.content_type),
            (&mut phone.service.method, &self.method),
        ] {
            if let Some(given) = given {
                place.clone_from(given);
            }
        }
        phone.account.extend(self.set.iter().cloned());
        phone.globals.insert("installid".into(), "simulated-phone".into());
        phone.globals.insert("appid".into(), "callthrough.simulate".into());
        phone.globals.extend(self.global.iter().cloned());
        phone.headers.clone_from(&self.header);
        phone.bare = self.bare;
        Ok(phone)
    }
}

/// Prints the exchange; a refusal is a failure of the command.
fn tell(exchange: &Exchange) -> Result<(), Failure> {
    println!("asked     {} {}", exchange.request.method, exchange.request.url);
    if let Some(body) = &exchange.request.body {
        println!("          {body}");
    }
    println!("answered  {} {}", exchange.status, exchange.content_type);
    match &exchange.outcome {
        Outcome::Dial { dial_string, digits } => {
            println!("dial      {dial_string}");
            println!("digits    {digits}");
            Ok(())
        }
        Outcome::Refused { status, message: Some(message), .. } => {
            Err(Failure::other(format!("the user reads: {message} (status {status})")))
        }
        Outcome::Refused { status, message: None, .. } => {
            Err(Failure::other(format!("status {status} without a message: the user sees nothing happen")))
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".into())
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::other(format!("{}: {error}", file.display())))
}
