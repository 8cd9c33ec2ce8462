-- Postings, entries and the audit log are only added. SQLite's way of saying so; run at every start, changes nothing that is there.
create trigger if not exists posting_no_update before update on posting begin select raise(abort, 'posting_append_only'); end;
create trigger if not exists posting_no_delete before delete on posting begin select raise(abort, 'posting_append_only'); end;
create trigger if not exists entry_no_update before update on entry begin select raise(abort, 'entry_append_only'); end;
create trigger if not exists entry_no_delete before delete on entry begin select raise(abort, 'entry_append_only'); end;
create trigger if not exists audit_no_update before update on audit begin select raise(abort, 'audit_append_only'); end;
create trigger if not exists audit_no_delete before delete on audit begin select raise(abort, 'audit_append_only'); end;
