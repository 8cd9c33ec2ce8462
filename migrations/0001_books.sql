-- The first books: who may call, what it costs, the money, the reservations, the calls.
-- Both SQLite and PostgreSQL read this file: bigint for money (micro-units), prices (nano-units), times (microseconds UTC)
-- and yes/no (1/0); text for ids and numbers ('+' and digits). Constraints are named; a name becomes a refusal.

-- Customers of the operator, strictly apart. One exists from the start.
create table tenant (
    id text primary key,
    slug text not null,                          -- in the paths of its softphone doors: /t/{slug}/callthrough
    name text not null,
    home_country text,
    enabled bigint not null default 1,
    settings text not null default '{}',         -- JSON: countries, number types, caps (tenant room)
    created_at_us bigint not null,
    constraint tenant_slug_unique unique (slug)
);
insert into tenant (id, slug, name, created_at_us) values ('ten_00000000000000000000000000', 'main', 'Main', 0);

-- Money of one owner in one currency. The balance is a cache, written in the same transaction as what it sums; what is held is
-- summed from the open holds whenever it is asked for.
create table account (
    id text primary key,
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id),
    currency text not null,
    credit_limit_micros bigint not null default 0,
    balance_micros bigint not null default 0,
    posting_seq bigint not null default 0,       -- number of the newest posting of the chain
    posting_hash text not null default '',       -- its hash
    locked_at_us bigint not null default 0,      -- touched to lock the row in both databases alike
    created_at_us bigint not null
);

create table subscriber (
    id text primary key,
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id),
    account_id text not null references account (id),
    name text not null,
    home_country text not null,
    locale text not null default 'en',
    enabled bigint not null default 1,
    withholds_number bigint not null default 0,
    deck_id text,                                -- the tariff; null means the default deck
    access_wish text,                            -- preferred access number
    max_calls bigint,                            -- null means the configured default, here and below
    spend_cap_micros bigint,                     -- a day
    max_price_nanos bigint,                      -- a minute
    max_calls_hour bigint,
    longest_call_secs bigint,
    spent_day_us bigint not null default 0,      -- 00:00 UTC of the day that spent_micros counts
    spent_micros bigint not null default 0,      -- settled that day, for the cap
    created_at_us bigint not null
);

-- What may stand for a subscriber at the door: SIP user, auth user, cloud user, user@domain; folded to lower case.
create table identity (
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id),
    name text not null,
    subscriber_id text not null references subscriber (id),
    constraint identity_key primary key (tenant_id, name)
);
create index identity_subscriber on identity (subscriber_id);

-- Verified numbers. Two subscribers may share one (an office line).
create table subscriber_number (
    number text not null,
    subscriber_id text not null references subscriber (id),
    verified_at_us bigint not null,
    constraint subscriber_number_key primary key (number, subscriber_id)
);
create index subscriber_number_subscriber on subscriber_number (subscriber_id);

create table credential (
    id text primary key,
    subscriber_id text not null references subscriber (id),
    kind text not null,                          -- token, password, app_secret, digest
    device text,                                 -- bound to this installation
    verifier text not null,                      -- SHA-256 of a token, argon2id of a password, SHA-1 of an app secret
    sealed text,                                 -- the app secret, encrypted, where a hash must be recomputed
    ha1_md5 text,
    ha1_sha256 text,
    created_at_us bigint not null,
    last_used_at_us bigint,
    revoked_at_us bigint
);
create index credential_subscriber on credential (subscriber_id);

-- Answers of requests that carried a nonce: a replay is refused, a network retry gets the stored answer.
create table nonce (
    subscriber_id text not null references subscriber (id),
    nonce text not null,
    fingerprint text not null,                   -- of the fields and the client address
    status bigint not null,
    content_type text not null,
    body text not null,
    seen_at_us bigint not null,
    constraint nonce_key primary key (subscriber_id, nonce)
);
create index nonce_seen on nonce (seen_at_us);

-- Rate decks: a name, its versions, their rates. Rates of a version never change.
create table deck (
    id text primary key,
    tenant_id text default 'ten_00000000000000000000000000' references tenant (id), -- null: a carrier's prices, the operator's own
    name text not null,
    currency text not null,
    created_at_us bigint not null,
    constraint deck_name_unique unique (tenant_id, name)
);

create table deck_version (
    id text primary key,
    deck_id text not null references deck (id),
    number bigint not null,
    fingerprint text not null,
    state text not null,                         -- importing, active: half an import is invisible
    rounding text not null,                      -- up, half_even, down
    effective_from_us bigint not null,
    created_at_us bigint not null,
    constraint deck_version_number unique (deck_id, number)
);

create table rate (
    version_id text not null references deck_version (id),
    prefix text not null,                        -- digits without plus
    name text not null default '',
    per_minute_nanos bigint not null,
    connect_fee_micros bigint not null default 0,
    first_secs bigint not null,
    next_secs bigint not null,
    min_secs bigint not null default 0,
    min_charge_micros bigint not null default 0,
    grace_secs bigint not null default 0,
    constraint rate_key primary key (version_id, prefix),
    constraint rate_price_not_negative check (per_minute_nanos >= 0 and connect_fee_micros >= 0),
    constraint rate_increments_positive check (first_secs >= 1 and next_secs >= 1)
);

create table trunk (
    id text primary key,
    name text not null,
    enabled bigint not null default 1,
    settings text not null,                      -- JSON: addresses, formats, header order, channels (trunk room)
    priority bigint not null default 100,        -- lower is tried first for calls out
    created_at_us bigint not null,
    constraint trunk_name_unique unique (name)
);

create table access_number (
    number text primary key,                     -- '+' and digits
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id),
    country text not null,
    enabled bigint not null default 1,
    settings text not null,                      -- JSON: modes, coordinates, cost, pauses, terminator, capacity (callthrough room)
    stamp bigint not null,                       -- 40 bits of a digest of the row: their sum tells whether the inventory changed
    created_at_us bigint not null
);

create table reservation (
    id text primary key,
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id),
    subscriber_id text not null references subscriber (id),
    access_number text not null,
    destination text not null,
    state text not null,                         -- pending, claimed, used, expired, superseded, cancelled
    rule text not null,                          -- which rule chose the access number
    created_at_us bigint not null,
    expires_at_us bigint not null,
    late_until_us bigint not null,               -- expiry plus grace
    claims bigint not null default 0,
    call_id text,                                -- the call that has it, or had it last
    released_at_us bigint,                       -- when that call ended
    late bigint not null default 0,
    nonce text,
    source text not null default '',             -- client address of the request
    code_digest text                             -- SHA-256 of the one-time code, in code mode
);
create index reservation_subscriber on reservation (subscriber_id, state);
create index reservation_last on reservation (subscriber_id, created_at_us);
create index reservation_created on reservation (created_at_us);
create index reservation_tenant on reservation (tenant_id, id);
create index reservation_code on reservation (access_number, code_digest);

-- The key of the whole product: at most one pending reservation for (caller, access number).
create table reservation_caller (
    caller text not null,
    access_number text not null,
    reservation_id text not null references reservation (id),
    pending bigint not null,                     -- 1 while the reservation may be claimed by this caller
    created_at_us bigint not null,
    constraint reservation_caller_key primary key (reservation_id, caller)
);
create unique index reservation_caller_pending on reservation_caller (caller, access_number) where pending = 1;
create index reservation_caller_seen on reservation_caller (caller, access_number, pending, created_at_us);

-- A call that was let in: what recovery needs while it lives, what the limit of calls an hour counts, what its holds hang on.
create table call (
    id text primary key,
    node text not null,
    subscriber_id text not null references subscriber (id),
    reservation_id text,
    sip_call_id text,
    caller text,
    dialled text not null,
    destination text not null,
    trunk_in text,
    began_at_us bigint not null,
    answered_at_us bigint,
    last_alive_at_us bigint not null,
    funded_until_us bigint,
    dialogs text,                                -- JSON: both legs' SIP identifiers, for the BYEs of a recovery
    ended_at_us bigint
);
create index call_open on call (node) where ended_at_us is null;
create index call_began on call (subscriber_id, began_at_us);

create table hold (
    id text primary key,
    call_id text not null references call (id),
    leg text not null,                           -- a, b
    account_id text not null references account (id),
    subscriber_id text not null references subscriber (id),
    amount_micros bigint not null,
    funded_secs bigint not null,
    rate text not null,                          -- JSON: the full rate and its deck version; an import never changes a running call
    created_at_us bigint not null,
    outcome text,                                -- settled, released
    settled_micros bigint,
    resolved_at_us bigint,
    constraint hold_once_per_leg unique (call_id, leg),
    constraint hold_not_negative check (amount_micros >= 0),
    constraint hold_charge_within check (settled_micros is null or settled_micros <= amount_micros)
);
create index hold_open on hold (account_id) where resolved_at_us is null;

-- Postings and entries are append-only (triggers per database). A posting is chained by hash on its account.
create table posting (
    id text primary key,
    account_id text not null references account (id),
    seq bigint not null,
    kind text not null,                          -- top_up, charge, adjustment, bonus, reversal
    cause text not null,                         -- call, payment or person
    idempotency_key text not null,
    note text not null default '',
    created_at_us bigint not null,
    prev_hash text not null,
    hash text not null,
    constraint posting_seq unique (account_id, seq),
    constraint posting_idempotency unique (idempotency_key)
);

create table entry (
    posting_id text not null references posting (id),
    line bigint not null,
    book text not null,                          -- subscriber, revenue_voice, payments, bonus, adjustment, carrier_cost, carrier_payable, fx
    account_id text,                             -- of a subscriber entry
    currency text not null,
    amount_micros bigint not null,               -- credit positive, debit negative; a posting sums to zero per currency
    constraint entry_key primary key (posting_id, line),
    constraint entry_account check ((book = 'subscriber') = (account_id is not null))
);

-- One record a call, refused ones included.
create table cdr (
    call_id text primary key,
    tenant_id text not null default 'ten_00000000000000000000000000' references tenant (id), -- nobody's calls are the main tenant's
    subscriber_id text,
    account_id text,
    reservation_id text,
    sip_call_id text,
    caller text,                                 -- null when withheld
    dialled text not null,
    destination text,
    trunk_in text,
    trunk_out text,
    cause text not null,                         -- answered, busy, no_answer, credit_exhausted, a refusal's code, server_restart, …
    side text,                                   -- which side ended it
    sip_status bigint,
    late bigint not null default 0,
    began_at_us bigint not null,
    progressed_at_us bigint,
    answered_at_us bigint,
    ended_at_us bigint not null,
    duration_ns bigint not null default 0,       -- answer to end by the steady clock
    billed_secs bigint not null default 0,
    currency text,
    charge_micros bigint not null default 0,
    charge_numerator text,                       -- exact fraction over 60000 before the one rounding
    rounding text,
    rate text,                                   -- JSON copy of the rate
    detail text                                  -- JSON: attempts per trunk, anything a reader at three in the morning wants
);
create index cdr_subscriber on cdr (subscriber_id, call_id);
create index cdr_tenant on cdr (tenant_id, call_id);

create table api_key (
    id text primary key,
    tenant_id text references tenant (id),       -- null: the operator's own
    name text not null,
    digest text not null,                        -- SHA-256
    created_at_us bigint not null,
    last_used_at_us bigint,
    revoked_at_us bigint,
    constraint api_key_digest unique (digest)
);

-- Idempotency-Key: the stored answer of a request that moved money or placed a call.
create table idempotency (
    key text not null,
    credential text not null,
    request text not null,                       -- method and path
    body_digest text not null,
    status bigint,                               -- null while running
    content_type text,
    body text,
    created_at_us bigint not null,
    constraint idempotency_key primary key (credential, key)
);
