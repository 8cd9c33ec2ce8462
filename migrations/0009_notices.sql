-- Money between accounts, months of the books, and a word when an account runs low.

alter table account add column low_balance_micros bigint not null default 2000000; -- told once when less than this is left
alter table account add column low_since_us bigint;                                -- told then; null: armed
create index account_tenant on account (tenant_id, id);

-- Two postings by way of the transit book, one on each account's chain, in one transaction.
create table transfer (
    id text primary key,
    tenant_id text not null references tenant (id),
    from_account text not null references account (id),
    to_account text not null references account (id),
    currency text not null,
    amount_micros bigint not null,
    reason text not null,
    made_by text not null,
    created_at_us bigint not null,
    out_posting text not null references posting (id),
    in_posting text not null references posting (id),
    constraint transfer_amount check (amount_micros > 0 and from_account <> to_account)
);
create index transfer_tenant on transfer (tenant_id, id);

-- The books of a month are read by time.
create index posting_time on posting (created_at_us, id);
