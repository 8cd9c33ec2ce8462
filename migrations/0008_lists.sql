-- Lists of call records stay quick at millions of them: newest first, by any one filter. Each index leads with what the filter
-- fixes and goes on by time, so that a page reads only its own rows. Destinations and charges are ranges: their indices carry
-- the order too, and rare ones are sorted from them alone.
drop index cdr_subscriber;
drop index cdr_tenant;
create index cdr_began on cdr (tenant_id, began_at_us);
create index cdr_subscriber on cdr (subscriber_id, began_at_us);
create index cdr_caller on cdr (caller, began_at_us);
create index cdr_cause on cdr (tenant_id, cause, began_at_us);
create index cdr_trunk_out on cdr (tenant_id, trunk_out, began_at_us) where trunk_out is not null;
create index cdr_trunk_in on cdr (tenant_id, trunk_in, began_at_us) where trunk_in is not null;
create index cdr_unanswered on cdr (tenant_id, began_at_us) where answered_at_us is null;
create index cdr_destination on cdr (tenant_id, destination, began_at_us, call_id) where destination is not null;
create index cdr_charge on cdr (tenant_id, charge_micros, began_at_us, call_id) where charge_micros > 0;
create index cdr_sip_call_id on cdr (sip_call_id) where sip_call_id is not null;

-- The money that a call moved is told with the call.
create index posting_cause on posting (cause);

-- Who spends from an account is told with the account.
create index subscriber_account on subscriber (account_id);
