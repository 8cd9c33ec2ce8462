-- Caps of a whole tenant, above those of its subscribers; what the watch against fraud remembers; numbers that have to cool down.

alter table tenant add column max_calls bigint;              -- calls at once, counted as open holds; null: no limit
alter table tenant add column spend_cap_micros bigint;       -- a day, each currency by itself; null: no limit
create index subscriber_spent on subscriber (tenant_id, spent_day_us);

-- Whether the subscriber ever had a verified number: the first one may call at once, those after it have to cool down.
alter table subscriber add column numbered bigint not null default 0;
update subscriber set numbered = 1 where exists (select 1 from subscriber_number n where n.subscriber_id = subscriber.id);
alter table subscriber_number add column usable_from_us bigint not null default 0;

-- Countries that were called before, by the tenant ('') and by each subscriber.
create table called_country (
    tenant_id text not null references tenant (id),
    subscriber_id text not null default '',
    country text not null,
    first_at_us bigint not null,
    constraint called_country_key primary key (tenant_id, subscriber_id, country)
);
