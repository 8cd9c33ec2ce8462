//! `callthrough owner`: a way in for whoever keeps the machine and can sign in no more.

use super::{Failure, Settings, on_runtime, open_existing};
use crate::people::audit::{self, Act};
use crate::people::{PeopleError, Who, invitation};
use crate::types::{AuditId, Clock, Random};

/// What to do about owners.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Owner {
    /// Print a one-time link that makes another owner; the one before dies. The server may run meanwhile
    Invite {
        #[command(flatten)]
        settings: Settings,
    },
}

impl Owner {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Invite { settings } = self;
        let config = settings.load()?;
        let scheme = if config.http.certificates().is_ok_and(|certificates| certificates.is_some()) { "https" } else { "http" };
        on_runtime(async {
            let database = open_existing(&config).await?;
            let made = database.write(|tx| {
                Box::pin(async move {
                    let (clock, random) = (Clock::system(), Random::system());
                    let (token, _) = invitation::create(tx, None, &clock, &random).await?;
                    let act = Act {
                        id: AuditId::new(&clock, &random),
                        tenant: None,
                        at: clock.timestamp(),
                        who: Who::Server,
                        name: "server".to_owned(),
                        from: String::new(),
                        action: "owner.invite",
                        target: String::new(),
                        before: None,
                        after: None,
                    };
                    audit::note(tx, &act).await?;
                    Ok::<_, PeopleError>(token)
                })
            });
            let token = made.await.map_err(|error| Failure::other(format!("the link could not be kept: {error}. Try again")))?;
            eprintln!("Open this link within 24 hours, once; if the server listens elsewhere, keep the path.");
            println!("{scheme}://{}{}", config.http.listen, invitation::path(&token));
            Ok(())
        })
    }
}
