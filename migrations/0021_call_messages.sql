-- The messages of a call on the wire, without their secrets, where the operator wants them kept; forgotten after some days.
create table call_message (
    call_id text not null primary key,
    kept_at_us bigint not null,
    left_out bigint not null default 0,   -- messages beyond the bounds of one call
    messages text not null                -- JSON
);

create index call_message_kept on call_message (kept_at_us);
