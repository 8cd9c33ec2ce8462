-- Who keeps the books, and what each of them did. Append-only rules of the audit log are beside those of the ledger.

create table audit (
    id text primary key,
    tenant_id text,                              -- null: the operator's own things
    at_us bigint not null,
    who text not null,                           -- pers_…, key_… or server
    name text not null,
    source text not null,                        -- client address
    action text not null,                        -- subscriber.update, account.top_up, …
    target text not null,                        -- id of the thing
    before text,                                 -- JSON, without secrets
    after text
);
create index audit_tenant on audit (tenant_id, id);
create index audit_target on audit (target, id);
create index audit_who on audit (who, id);

-- People who sign in to keep the books. Names are unique within a tenant, and among the operator's own.
create table person (
    id text primary key,
    tenant_id text references tenant (id),       -- null: the operator's own
    login text not null,                         -- e-mail address or user name, folded to lower case
    name text not null,
    role text not null,                          -- owner, billing, support, read_only
    password text,                               -- argon2id; null until the invitation is accepted
    totp text,                                   -- sealed secret of the second factor
    totp_step bigint not null default 0,         -- the newest step a code was taken of: each code lets in once
    totp_offered text,                           -- sealed, shown and not yet confirmed
    enabled bigint not null default 1,
    created_at_us bigint not null,
    signed_in_at_us bigint
);
create unique index person_login on person (coalesce(tenant_id, ''), login);

-- Codes for those who lost their second factor; one is deleted when it is used.
create table recovery_code (
    person_id text not null references person (id),
    digest text not null,                        -- SHA-256
    constraint recovery_code_key primary key (person_id, digest)
);

-- Browsers that are signed in.
create table sign_in (
    id text primary key,
    person_id text not null references person (id),
    digest text not null,                        -- SHA-256 of the cookie
    source text not null,                        -- client address
    agent text not null,                         -- what the browser calls itself
    created_at_us bigint not null,
    seen_at_us bigint not null,                  -- to the minute
    confirmed_at_us bigint not null,             -- when the password was last given: money wants it fresh
    ended_at_us bigint,
    constraint sign_in_digest unique (digest)
);
create index sign_in_person on sign_in (person_id, id);

-- Links that let somebody choose a password, once.
create table invitation (
    digest text primary key,                     -- SHA-256 of what is in the link
    person_id text references person (id),       -- null: it makes an owner
    expires_at_us bigint not null
);

-- What a key may do, who made it, how long it holds.
alter table api_key add column scopes text not null
    default 'read subscribers money decks numbers trunks calls fraud people tenants audit';
alter table api_key add column made_by text not null default 'server';
alter table api_key add column expires_at_us bigint;
