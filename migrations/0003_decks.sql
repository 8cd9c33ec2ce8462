-- Tariffs that know peak hours, carriers' prices beside our own, and what one currency is in another.

-- How a measured duration becomes whole seconds is the tariff's, as the rounding of money is: up, down, nearest.
alter table deck_version add column duration_rounding text not null default 'up';
-- Hours of the week with a price of their own, as text: mo-fr 08:00-18:00 0.02 @+01:00. Mostly empty.
alter table rate add column periods text not null default '';

-- A deck sells to subscribers or says what a carrier takes. Carriers' decks are the operator's: they have no tenant.
alter table deck add column kind text not null default 'sell';
create unique index deck_cost_name on deck (name) where tenant_id is null;

-- What one unit of a currency is in another, from a moment on: a fraction, because money knows no floats. Rows are only added.
create table fx_rate (
    from_currency text not null,
    to_currency text not null,
    numerator bigint not null,
    denominator bigint not null,
    effective_from_us bigint not null,
    created_at_us bigint not null,
    constraint fx_rate_key primary key (from_currency, to_currency, effective_from_us),
    constraint fx_rate_positive check (numerator > 0 and denominator > 0)
);

-- What the carrier of a call took for it, beside what the caller paid.
alter table cdr add column cost_micros bigint;
alter table cdr add column cost_numerator text;
alter table cdr add column cost_billed_secs bigint;
alter table cdr add column cost_currency text;
alter table cdr add column cost_rate text;          -- JSON copy of the carrier's rate
-- While the call lives, for whoever has to close it after a crash.
alter table call add column trunk_out text;
alter table call add column cost_rate text;
