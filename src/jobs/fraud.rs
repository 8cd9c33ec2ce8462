//! What looks like fraud is told of, and where the tenant wants it the subscriber is switched off and their calls end.

use sqlx::AnyConnection;

use crate::alert::{self, Draft, Severity};
use crate::b2bua::Handle;
use crate::fraud::watch::{Finding, Sign};
use crate::fraud::{self, NewCountry, OnFraud};
use crate::people::Who;
use crate::people::audit::{self, Act};
use crate::types::{AlertId, AuditId, Clock, Random, SubscriberId};
use crate::{http, subscriber, tenant};

/// Findings of one transaction.
const AT_ONCE: usize = 100;

/// Tells of what was found since the last round.
pub async fn tell(web: &http::State) -> Result<(), sqlx::Error> {
    let findings = web.rules.findings();
    for (turn, some) in findings.chunks(AT_ONCE).enumerate() {
        let (told, work) = (some.to_vec(), web.clone());
        let written = web.database.write(move |tx| {
            Box::pin(async move {
                let mut suspended = Vec::new();
                for finding in &told {
                    let on_fraud = work.rules.policy(finding.tenant).unwrap_or_default().on_fraud;
                    suspended.extend(note(tx, finding, on_fraud, &work.clock, &work.random).await?);
                }
                Ok::<_, sqlx::Error>(suspended)
            })
        });
        match written.await {
            Ok(suspended) => hang_up(&web.calls, &suspended),
            Err(error) => {
                // The books are away: what is not told yet is told when they are back.
                web.rules.put_back(findings.iter().skip(turn * AT_ONCE).cloned().collect());
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Raises the alert of a finding; the subscriber, if they were switched off for it.
async fn note(
    tx: &mut AnyConnection,
    finding: &Finding,
    on_fraud: OnFraud,
    clock: &Clock,
    random: &Random,
) -> Result<Option<SubscriberId>, sqlx::Error> {
    let mut subject = finding.subscriber.to_string();
    let mut severity = Severity::Warning;
    if let Sign::NewCountry(country, whose) = finding.sign {
        let (first, own) = fraud::store::called(tx, finding.tenant, finding.subscriber, country, finding.at).await?;
        let news = match whose {
            NewCountry::Off => false,
            NewCountry::Tenant => first,
            NewCountry::Subscriber => own,
        };
        let home = subscriber::store::get(tx, finding.subscriber).await?.map(|subscriber| subscriber.home);
        let seat = tenant::store::get(tx, finding.tenant).await?.and_then(|tenant| tenant.home_country);
        if !news || home == Some(country) || seat == Some(country) {
            return Ok(None);
        }
        (subject, severity) = (format!("{subject} {country}"), Severity::Notice);
    }
    let suspended =
        severity != Severity::Notice && on_fraud == OnFraud::Suspend && subscriber::store::suspend(tx, finding.subscriber).await?;
    let mut text = finding.text();
    if suspended {
        severity = Severity::Critical;
        text.push_str(" They are switched off now.");
    }
    let (id, at) = (AlertId::new(clock, random), finding.at);
    let draft = Draft { id, tenant: Some(finding.tenant), at, kind: finding.sign.kind(), severity, subject, text };
    alert::raise(tx, &draft).await?;
    tracing::warn!(tenant.id = %finding.tenant, subscriber.id = %finding.subscriber, sign = draft.kind, suspended, "calls look like fraud");
    if !suspended {
        return Ok(None);
    }
    let enabled = |enabled: bool| Some(serde_json::json!({ "enabled": enabled }));
    let act = Act {
        id: AuditId::new(clock, random),
        tenant: Some(finding.tenant),
        at: clock.timestamp(),
        who: Who::Server,
        name: "server".to_owned(),
        from: String::new(),
        action: "subscriber.suspend",
        target: finding.subscriber.to_string(),
        before: enabled(true),
        after: enabled(false),
    };
    audit::note(tx, &act).await?;
    Ok(Some(finding.subscriber))
}

/// Ends the calls of those who were switched off, on this node.
fn hang_up(calls: &Handle, suspended: &[SubscriberId]) {
    if suspended.is_empty() {
        return;
    }
    for call in calls.list() {
        if call.subscriber.is_some_and(|subscriber| suspended.contains(&subscriber)) {
            calls.hang_up(call.id);
        }
    }
}
