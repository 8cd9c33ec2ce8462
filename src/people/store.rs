//! All SQL of the room.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::audit::{Act, Filter, Line};
use super::key::ApiKey;
use super::person::Person;
use super::sign_in::SignIn;
use super::{Role, Scope};
use crate::database::{Value, bind};
use crate::types::{ApiKeyId, PersonId, Secret, SignInId, TenantId, Timestamp};

type Result<T> = std::result::Result<T, sqlx::Error>;

fn text<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &AnyRow, column: &str) -> Result<T> {
    row.try_get::<String, _>(column)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn tenant(row: &AnyRow, column: &str) -> Result<Option<TenantId>> {
    let id: Option<String> = row.try_get(column)?;
    id.map(|id| id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))).transpose()
}

fn at(row: &AnyRow, column: &str) -> Result<Timestamp> {
    row.try_get(column).map(Timestamp::from_micros)
}

fn maybe_at(row: &AnyRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

/// Adds a line to the audit log.
pub async fn note(tx: &mut AnyConnection, act: &Act) -> Result<()> {
    sqlx::query(
        "insert into audit (id, tenant_id, at_us, who, name, source, action, target, before, after) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(act.id.to_string())
    .bind(act.tenant.map(|id| id.to_string()))
    .bind(act.at.as_micros())
    .bind(act.who.to_string())
    .bind(&act.name)
    .bind(&act.from)
    .bind(act.action)
    .bind(&act.target)
    .bind(act.before.as_ref().map(ToString::to_string))
    .bind(act.after.as_ref().map(ToString::to_string))
    .execute(tx)
    .await
    .map(drop)
}

/// Lines of the audit log, newest first.
pub async fn audit(connection: &mut AnyConnection, filter: &Filter, limit: u32) -> Result<Vec<Line>> {
    let mut sql = String::from("select * from audit where ");
    let mut values = vec![Value::from(filter.tenant.to_string())];
    sql.push_str(if filter.operator { "(tenant_id = $1 or tenant_id is null)" } else { "tenant_id = $1" });
    let texts = [
        ("who = ", filter.who.clone()),
        ("action = ", filter.action.clone()),
        ("target = ", filter.target.clone()),
        ("id < ", filter.after.map(|id| id.to_string())),
    ];
    let times = [("at_us >= ", filter.since), ("at_us < ", filter.until)];
    let texts = texts.into_iter().filter_map(|(test, value)| Some((test, Value::from(value?))));
    let times = times.into_iter().filter_map(|(test, value)| Some((test, Value::from(value?.as_micros()))));
    for (test, value) in texts.chain(times) {
        values.push(value);
        write!(sql, " and {test}${}", values.len()).expect("a string takes all");
    }
    values.push(Value::from(i64::from(limit)));
    write!(sql, " order by id desc limit ${}", values.len()).expect("a string takes all");
    let rows = bind(sqlx::query(sqlx::AssertSqlSafe(sql)), values).fetch_all(connection).await?;
    let json = |row: &AnyRow, column: &str| -> Result<Option<serde_json::Value>> {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))).transpose()
    };
    rows.iter()
        .map(|row| {
            Ok(Line {
                id: text(row, "id")?,
                tenant: tenant(row, "tenant_id")?,
                at: at(row, "at_us")?,
                who: row.try_get("who")?,
                name: row.try_get("name")?,
                from: row.try_get("source")?,
                action: row.try_get("action")?,
                target: row.try_get("target")?,
                before: json(row, "before")?,
                after: json(row, "after")?,
            })
        })
        .collect()
}

fn read_person(row: &AnyRow) -> Result<Person> {
    let role: String = row.try_get("role")?;
    Ok(Person {
        id: text(row, "person_id")?,
        tenant: tenant(row, "tenant_id")?,
        login: row.try_get("login")?,
        name: row.try_get("name")?,
        role: Role::parse(&role).ok_or_else(|| sqlx::Error::Decode(format!("no role is called {role}").into()))?,
        enabled: row.try_get::<i64, _>("enabled")? == 1,
        accepted: row.try_get::<Option<String>, _>("password")?.is_some(),
        second_factor: row.try_get::<Option<String>, _>("totp")?.is_some(),
        created_at: at(row, "person_created_at_us")?,
        signed_in_at: maybe_at(row, "signed_in_at_us")?,
    })
}

/// What is selected of a person, also beside other tables.
const PERSON: &str = "select person.id as person_id, person.tenant_id, login, person.name, role, person.enabled, password, totp, \
                      person.created_at_us as person_created_at_us, signed_in_at_us";

/// Adds a person.
pub async fn create_person(tx: &mut AnyConnection, person: &Person) -> Result<()> {
    sqlx::query("insert into person (id, tenant_id, login, name, role, created_at_us) values ($1, $2, $3, $4, $5, $6)")
        .bind(person.id.to_string())
        .bind(person.tenant.map(|id| id.to_string()))
        .bind(&person.login)
        .bind(&person.name)
        .bind(person.role.code())
        .bind(person.created_at.as_micros())
        .execute(tx)
        .await
        .map(drop)
}

/// One person.
pub async fn person(connection: &mut AnyConnection, id: PersonId) -> Result<Option<Person>> {
    let sql = format!("{PERSON} from person where id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(read_person).transpose()
}

/// People of a tenant or of the operator, oldest first.
pub async fn people(connection: &mut AnyConnection, tenant: Option<TenantId>, after: Option<PersonId>, limit: u32) -> Result<Vec<Person>> {
    let sql = format!("{PERSON} from person where coalesce(tenant_id, '') = $1 and id > $2 order by id limit $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.map_or_else(String::new, |id| id.to_string()))
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_person).collect()
}

/// Who signs in as `login`, with the hash of their password; only if they have one and their tenant is enabled.
pub async fn candidate(connection: &mut AnyConnection, tenant: Option<TenantId>, login: &str) -> Result<Option<(Person, Secret)>> {
    let sql = format!(
        "{PERSON} from person left join tenant on tenant.id = person.tenant_id \
         where coalesce(person.tenant_id, '') = $1 and login = $2 and password is not null and coalesce(tenant.enabled, 1) = 1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.map_or_else(String::new, |id| id.to_string()))
        .bind(login)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| Ok((read_person(row)?, Secret::new(row.try_get::<String, _>("password")?)))).transpose()
}

/// Name, role and whether they may sign in.
pub async fn update_person(tx: &mut AnyConnection, person: &Person) -> Result<()> {
    sqlx::query("update person set name = $2, role = $3, enabled = $4 where id = $1")
        .bind(person.id.to_string())
        .bind(&person.name)
        .bind(person.role.code())
        .bind(i64::from(person.enabled))
        .execute(tx)
        .await
        .map(drop)
}

/// Removes a person with all that hangs on them.
pub async fn remove_person(tx: &mut AnyConnection, id: PersonId) -> Result<()> {
    for sql in [
        "delete from recovery_code where person_id = $1",
        "delete from sign_in where person_id = $1",
        "delete from invitation where person_id = $1",
        "delete from person where id = $1",
    ] {
        sqlx::query(sql).bind(id.to_string()).execute(&mut *tx).await?;
    }
    Ok(())
}

/// How many owners of the operator can sign in besides `id`. Two who leave at once are told one after the other.
pub async fn other_owners(tx: &mut AnyConnection, id: PersonId) -> Result<i64> {
    sqlx::query("update person set name = name where tenant_id is null and role = 'owner'").execute(&mut *tx).await?;
    sqlx::query_scalar(
        "select count(*) from person where tenant_id is null and role = 'owner' and enabled = 1 and password is not null and id <> $1",
    )
    .bind(id.to_string())
    .fetch_one(tx)
    .await
}

/// Whether the operator has an owner who can sign in.
pub async fn has_owner(connection: &mut AnyConnection) -> Result<bool> {
    let sql = "select count(*) from person where tenant_id is null and role = 'owner' and enabled = 1 and password is not null";
    Ok(sqlx::query_scalar::<_, i64>(sql).fetch_one(connection).await? > 0)
}

/// The hash of somebody's password.
pub async fn password(connection: &mut AnyConnection, id: PersonId) -> Result<Option<Secret>> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("select password from person where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    Ok(found.flatten().map(Secret::new))
}

/// Another password.
pub async fn set_password(tx: &mut AnyConnection, id: PersonId, hashed: &Secret) -> Result<()> {
    sqlx::query("update person set password = $2 where id = $1").bind(id.to_string()).bind(hashed.expose()).execute(tx).await.map(drop)
}

/// The sealed second factor, the offered one, and the newest step a code was taken of.
pub async fn totp(connection: &mut AnyConnection, id: PersonId) -> Result<(Option<String>, Option<String>, i64)> {
    let row =
        sqlx::query("select totp, totp_offered, totp_step from person where id = $1").bind(id.to_string()).fetch_one(connection).await?;
    Ok((row.try_get("totp")?, row.try_get("totp_offered")?, row.try_get("totp_step")?))
}

/// Keeps the second factor that is offered.
pub async fn offer_totp(tx: &mut AnyConnection, id: PersonId, sealed: &str) -> Result<()> {
    sqlx::query("update person set totp_offered = $2 where id = $1").bind(id.to_string()).bind(sealed).execute(tx).await.map(drop)
}

/// Another second factor, or none; recovery codes of the old one go.
pub async fn set_totp(tx: &mut AnyConnection, id: PersonId, sealed: Option<&str>, step: i64) -> Result<()> {
    sqlx::query("delete from recovery_code where person_id = $1").bind(id.to_string()).execute(&mut *tx).await?;
    sqlx::query("update person set totp = $2, totp_step = $3, totp_offered = null where id = $1")
        .bind(id.to_string())
        .bind(sealed)
        .bind(step)
        .execute(tx)
        .await
        .map(drop)
}

/// Takes the code of a step; false if one as new was taken before.
pub async fn take_totp_step(tx: &mut AnyConnection, id: PersonId, step: i64) -> Result<bool> {
    let sql = "update person set totp_step = $2 where id = $1 and totp_step < $2";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(step).execute(tx).await?.rows_affected() == 1)
}

/// Adds a recovery code.
pub async fn add_recovery_code(tx: &mut AnyConnection, id: PersonId, digest: &str) -> Result<()> {
    let sql = "insert into recovery_code (person_id, digest) values ($1, $2)";
    sqlx::query(sql).bind(id.to_string()).bind(digest).execute(tx).await.map(drop)
}

/// Uses a recovery code up; false if it is none.
pub async fn take_recovery_code(tx: &mut AnyConnection, id: PersonId, digest: &str) -> Result<bool> {
    let sql = "delete from recovery_code where person_id = $1 and digest = $2";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(digest).execute(tx).await?.rows_affected() == 1)
}

/// Adds a sign-in and notes it at the person.
pub async fn create_sign_in(tx: &mut AnyConnection, sign_in: &SignIn, digest: &str) -> Result<()> {
    sqlx::query("update person set signed_in_at_us = $2 where id = $1")
        .bind(sign_in.person.to_string())
        .bind(sign_in.created_at.as_micros())
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into sign_in (id, person_id, digest, source, agent, created_at_us, seen_at_us, confirmed_at_us) \
         values ($1, $2, $3, $4, $5, $6, $6, $6)",
    )
    .bind(sign_in.id.to_string())
    .bind(sign_in.person.to_string())
    .bind(digest)
    .bind(&sign_in.source)
    .bind(&sign_in.agent)
    .bind(sign_in.created_at.as_micros())
    .execute(tx)
    .await
    .map(drop)
}

fn read_sign_in(row: &AnyRow) -> Result<SignIn> {
    Ok(SignIn {
        id: text(row, "sign_in_id")?,
        person: text(row, "person_id")?,
        source: row.try_get("source")?,
        agent: row.try_get("agent")?,
        created_at: at(row, "sign_in_created_at_us")?,
        seen_at: at(row, "seen_at_us")?,
        confirmed_at: at(row, "confirmed_at_us")?,
    })
}

/// What is selected of a sign-in beside its person.
const SIGN_IN: &str =
    "sign_in.id as sign_in_id, source, agent, sign_in.created_at_us as sign_in_created_at_us, seen_at_us, confirmed_at_us";

/// The sign-in of a cookie that was not ended, with its person; only if their tenant is enabled.
pub async fn sign_in(connection: &mut AnyConnection, digest: &str) -> Result<Option<(Person, SignIn)>> {
    let sql = format!(
        "{PERSON}, {SIGN_IN} from sign_in join person on person.id = sign_in.person_id \
         left join tenant on tenant.id = person.tenant_id \
         where digest = $1 and ended_at_us is null and coalesce(tenant.enabled, 1) = 1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(digest).fetch_optional(connection).await?;
    row.as_ref().map(|row| Ok((read_person(row)?, read_sign_in(row)?))).transpose()
}

/// The newest sign-ins of somebody that were not ended.
pub async fn sign_ins(connection: &mut AnyConnection, person: PersonId) -> Result<Vec<SignIn>> {
    let sql = format!("select person_id, {SIGN_IN} from sign_in where person_id = $1 and ended_at_us is null order by id desc limit 100");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(person.to_string()).fetch_all(connection).await?;
    rows.iter().map(read_sign_in).collect()
}

/// Notes a request.
pub async fn touch_sign_in(tx: &mut AnyConnection, id: SignInId, now: Timestamp) -> Result<()> {
    let sql = "update sign_in set seen_at_us = $2 where id = $1 and seen_at_us < $2";
    sqlx::query(sql).bind(id.to_string()).bind(now.as_micros()).execute(tx).await.map(drop)
}

/// Notes that the password was given again.
pub async fn confirm_sign_in(tx: &mut AnyConnection, id: SignInId, now: Timestamp) -> Result<()> {
    let sql = "update sign_in set confirmed_at_us = $2 where id = $1";
    sqlx::query(sql).bind(id.to_string()).bind(now.as_micros()).execute(tx).await.map(drop)
}

/// Ends one sign-in.
pub async fn end_sign_in(tx: &mut AnyConnection, id: SignInId, now: Timestamp) -> Result<bool> {
    let sql = "update sign_in set ended_at_us = $2 where id = $1 and ended_at_us is null";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(now.as_micros()).execute(tx).await?.rows_affected() == 1)
}

/// Ends the sign-ins of somebody, but for one.
pub async fn end_sign_ins(tx: &mut AnyConnection, person: PersonId, keep: Option<SignInId>, now: Timestamp) -> Result<u64> {
    let sql = "update sign_in set ended_at_us = $2 where person_id = $1 and ended_at_us is null and id <> $3";
    let done = sqlx::query(sql)
        .bind(person.to_string())
        .bind(now.as_micros())
        .bind(keep.map_or_else(String::new, |id| id.to_string()))
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}

/// One link for whoever it is for, in place of all older ones.
pub async fn replace_invitation(tx: &mut AnyConnection, person: Option<PersonId>, digest: &str, expires_at: Timestamp) -> Result<()> {
    let person = person.map(|id| id.to_string());
    sqlx::query("delete from invitation where coalesce(person_id, '') = $1")
        .bind(person.clone().unwrap_or_default())
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into invitation (digest, person_id, expires_at_us) values ($1, $2, $3)")
        .bind(digest)
        .bind(person)
        .bind(expires_at.as_micros())
        .execute(tx)
        .await
        .map(drop)
}

/// Whom a link that holds is for, and until when.
pub async fn invitation(connection: &mut AnyConnection, digest: &str, now: Timestamp) -> Result<Option<(Option<PersonId>, Timestamp)>> {
    let row = sqlx::query("select person_id, expires_at_us from invitation where digest = $1 and expires_at_us > $2")
        .bind(digest)
        .bind(now.as_micros())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let person = row.try_get::<Option<String>, _>("person_id")?.map(|_| text(&row, "person_id")).transpose()?;
    Ok(Some((person, at(&row, "expires_at_us")?)))
}

/// Uses a link up; false if it does not hold.
pub async fn use_invitation(tx: &mut AnyConnection, digest: &str, now: Timestamp) -> Result<bool> {
    let sql = "delete from invitation where digest = $1 and expires_at_us > $2";
    Ok(sqlx::query(sql).bind(digest).bind(now.as_micros()).execute(tx).await?.rows_affected() == 1)
}

fn words(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.code()).collect::<Vec<_>>().join(" ")
}

fn read_key(row: &AnyRow) -> Result<ApiKey> {
    Ok(ApiKey {
        id: text(row, "id")?,
        tenant: tenant(row, "tenant_id")?,
        name: row.try_get("name")?,
        // A scope that is no more gives nothing.
        scopes: row.try_get::<String, _>("scopes")?.split(' ').filter_map(Scope::parse).collect(),
        made_by: row.try_get("made_by")?,
        created_at: at(row, "created_at_us")?,
        expires_at: maybe_at(row, "expires_at_us")?,
        last_used_at: maybe_at(row, "last_used_at_us")?,
        revoked_at: maybe_at(row, "revoked_at_us")?,
    })
}

/// Adds a key.
pub async fn create_key(tx: &mut AnyConnection, key: &ApiKey, digest: &str) -> Result<()> {
    sqlx::query(
        "insert into api_key (id, tenant_id, name, digest, scopes, made_by, created_at_us, expires_at_us) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.to_string())
    .bind(key.tenant.map(|id| id.to_string()))
    .bind(&key.name)
    .bind(digest)
    .bind(words(&key.scopes))
    .bind(&key.made_by)
    .bind(key.created_at.as_micros())
    .bind(key.expires_at.map(Timestamp::as_micros))
    .execute(tx)
    .await
    .map(drop)
}

/// The key with this digest that has not been revoked; only if its tenant is enabled.
pub async fn find_key(connection: &mut AnyConnection, digest: &str) -> Result<Option<ApiKey>> {
    let sql = "select api_key.* from api_key left join tenant on tenant.id = api_key.tenant_id \
               where digest = $1 and revoked_at_us is null and coalesce(tenant.enabled, 1) = 1";
    sqlx::query(sql).bind(digest).fetch_optional(connection).await?.as_ref().map(read_key).transpose()
}

/// One key.
pub async fn key(connection: &mut AnyConnection, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let row = sqlx::query("select * from api_key where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(read_key).transpose()
}

/// Keys of a tenant or of the operator, oldest first.
pub async fn keys(connection: &mut AnyConnection, tenant: Option<TenantId>, after: Option<ApiKeyId>, limit: u32) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query("select * from api_key where coalesce(tenant_id, '') = $1 and id > $2 order by id limit $3")
        .bind(tenant.map_or_else(String::new, |id| id.to_string()))
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_key).collect()
}

/// Name, scopes and end.
pub async fn update_key(tx: &mut AnyConnection, key: &ApiKey) -> Result<()> {
    sqlx::query("update api_key set name = $2, scopes = $3, expires_at_us = $4 where id = $1")
        .bind(key.id.to_string())
        .bind(&key.name)
        .bind(words(&key.scopes))
        .bind(key.expires_at.map(Timestamp::as_micros))
        .execute(tx)
        .await
        .map(drop)
}

/// Notes that a key was used.
pub async fn touch_key(tx: &mut AnyConnection, id: ApiKeyId, now: Timestamp, not_since: Timestamp) -> Result<()> {
    sqlx::query("update api_key set last_used_at_us = $2 where id = $1 and (last_used_at_us is null or last_used_at_us < $3)")
        .bind(id.to_string())
        .bind(now.as_micros())
        .bind(not_since.as_micros())
        .execute(tx)
        .await
        .map(drop)
}

/// Takes a key back, at once; false if there is none such or it is back already.
pub async fn revoke_key(tx: &mut AnyConnection, id: ApiKeyId, now: Timestamp) -> Result<bool> {
    let sql = "update api_key set revoked_at_us = $2 where id = $1 and revoked_at_us is null";
    Ok(sqlx::query(sql).bind(id.to_string()).bind(now.as_micros()).execute(tx).await?.rows_affected() == 1)
}
