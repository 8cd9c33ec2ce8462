-- What somebody should look at. One open alert a tenant, kind and subject; raising it again counts.

create table alert (
    id text primary key,
    tenant_id text not null default '',          -- empty: the operator's own
    kind text not null,
    severity text not null,                      -- notice, warning, critical
    subject text not null,                       -- id of whom or what it is about
    text text not null,
    times bigint not null default 1,
    first_at_us bigint not null,
    last_at_us bigint not null,
    acknowledged_at_us bigint,
    acknowledged_by text
);
create unique index alert_open on alert (tenant_id, kind, subject) where acknowledged_at_us is null;
create index alert_tenant on alert (tenant_id, id);
