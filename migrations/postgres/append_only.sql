-- Postings, entries and the audit log are only added. PostgreSQL's way of saying so; run at every start, changes nothing that is there.
-- The lock keeps two nodes that start together from replacing the same trigger at once.
begin;
select pg_advisory_xact_lock(7203114528);
create or replace function append_only() returns trigger language plpgsql as $body$
begin
    raise exception '%_append_only', tg_table_name;
end
$body$;
create or replace trigger posting_no_change before update or delete on posting for each row execute function append_only();
create or replace trigger posting_no_truncate before truncate on posting for each statement execute function append_only();
create or replace trigger entry_no_change before update or delete on entry for each row execute function append_only();
create or replace trigger entry_no_truncate before truncate on entry for each statement execute function append_only();
create or replace trigger audit_no_change before update or delete on audit for each row execute function append_only();
create or replace trigger audit_no_truncate before truncate on audit for each statement execute function append_only();
commit;
