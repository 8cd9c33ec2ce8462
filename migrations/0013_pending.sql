-- The night watch looks for reservations whose time is over every few seconds, among a day's that are done with.
create index reservation_pending on reservation (late_until_us) where state = 'pending';
