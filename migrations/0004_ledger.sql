-- Money that two people move, and money on paper.

-- A movement that waits for a second person. What it does is in `movement`; it is done once, in the transaction that approves it.
create table approval (
    id text primary key,
    tenant_id text not null references tenant (id),
    movement text not null,                      -- JSON: what is to be done (ledger room)
    amount_micros bigint not null,               -- how much moves, for the reader
    currency text not null,
    subject text not null,                       -- id of the account, call or batch it is about
    reason text not null,
    asked_by text not null,                      -- pers_… or key_…
    asked_for text not null,                     -- the person behind it: who may not approve it
    asked_name text not null,
    asked_at_us bigint not null,
    expires_at_us bigint not null,
    state text not null,                         -- pending, approved, declined
    decided_by text,
    decided_name text,
    decided_at_us bigint,
    posting_id text                              -- the last posting it made
);
create index approval_tenant on approval (tenant_id, state, id);

create table voucher_batch (
    id text primary key,
    tenant_id text not null references tenant (id),
    name text not null,
    amount_micros bigint not null,
    currency text not null,
    count bigint not null,
    state text not null,                         -- pending (waits for a second person), active, void
    expires_at_us bigint,
    made_by text not null,
    created_at_us bigint not null,
    constraint voucher_batch_amount check (amount_micros > 0 and count > 0)
);
create index voucher_batch_tenant on voucher_batch (tenant_id, id);

-- The code itself is nowhere: only its SHA-256.
create table voucher (
    id text primary key,
    batch_id text not null references voucher_batch (id),
    tenant_id text not null references tenant (id),
    number bigint not null,                      -- its place in the batch, from 1: what is printed beside the code
    digest text not null,
    redeemed_at_us bigint,
    account_id text references account (id),
    posting_id text,
    voided_at_us bigint,
    constraint voucher_digest unique (digest)
);
create index voucher_batch_number on voucher (batch_id, number);
