-- Where the phone that asked may be: no number that is an emergency number in one of these countries is routed, when it asks or
-- when it calls.

alter table reservation add column places text not null default '';   -- two letters each, with blanks between
