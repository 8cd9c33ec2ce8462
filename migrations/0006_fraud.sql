-- Lists of numbers and prefixes that must not be called, each kept whole: a new upload takes the old one's place at once.

create table hotlist (
    id text primary key,
    tenant_id text not null default '',          -- empty: the operator's own, for every tenant
    name text not null,
    source text not null,                        -- where it is from, for people
    entries bigint not null,
    prefixes text not null,                      -- digits, one entry a line
    updated_at_us bigint not null
);
create index hotlist_tenant on hotlist (tenant_id, id);

alter table alert add column note text;
