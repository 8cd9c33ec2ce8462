-- How the sound of a call arrived from each side, where our relay carried it: packets, losses and jitter by RFC 3550.

alter table cdr add column a_packets bigint;
alter table cdr add column a_lost bigint;
alter table cdr add column a_jitter_us bigint;
alter table cdr add column b_packets bigint;
alter table cdr add column b_lost bigint;
alter table cdr add column b_jitter_us bigint;
