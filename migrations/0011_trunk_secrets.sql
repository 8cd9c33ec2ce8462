-- The password that a carrier asks of us: sealed, and apart from the settings, so that no list of trunks ever holds it.

create table trunk_secret (
    trunk_id text primary key references trunk (id) on delete cascade,
    sealed text not null
);
