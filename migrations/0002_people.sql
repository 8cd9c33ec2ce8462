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
