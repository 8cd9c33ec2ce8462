-- Sums by the hour, so that the overview is quick at millions of calls. Everything here can be counted again from the records.

-- Records that are in no sum yet; written with the record, taken away when it is counted.
create table cdr_uncounted (
    call_id text primary key
);
insert into cdr_uncounted (call_id) select call_id from cdr;

-- Calls by the hour in which they began. Calls that never got a rate have no currency: an empty one.
create table stat_hour (
    tenant_id text not null,
    hour_us bigint not null,
    currency text not null,
    calls bigint not null,
    answered bigint not null,
    talk_ms bigint not null,
    billed_secs bigint not null,
    spend_micros bigint not null,
    constraint stat_hour_key primary key (tenant_id, hour_us, currency)
);

-- What phones asked for by the hour, and what of it no call ever came for.
create table stat_request (
    tenant_id text not null,
    hour_us bigint not null,
    requests bigint not null,
    never_arrived bigint not null,
    constraint stat_request_key primary key (tenant_id, hour_us)
);

-- Attempts to call out by trunk and five minutes; kept for a week.
create table stat_trunk (
    slot_us bigint not null,
    trunk text not null,
    tenant_id text not null,
    attempts bigint not null,
    answered bigint not null,
    failed bigint not null,
    constraint stat_trunk_key primary key (slot_us, trunk, tenant_id)
);

-- Up to where something is counted. Who counts locks its row first, so that two nodes never count the same thing.
create table stat_cursor (
    name text primary key,
    until_us bigint not null,
    locked_at_us bigint not null default 0
);
insert into stat_cursor (name, until_us) values ('calls', 0), ('requests', 0);
