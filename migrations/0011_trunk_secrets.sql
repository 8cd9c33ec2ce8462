-- Passwords between us and a carrier, apart from its settings, so that no list of trunks ever holds one: what it asks of us, and the
-- hashes of what we ask of it. Both are sealed.

create table trunk_secret (
    trunk_id text not null references trunk (id) on delete cascade,
    kind text not null,                          -- password: ours there; digest: its hashes here
    sealed text not null,
    primary key (trunk_id, kind)
);
