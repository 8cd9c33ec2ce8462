-- Tariffs that know peak hours, carriers' prices beside our own, and what one currency is in another.

-- How a measured duration becomes whole seconds is the tariff's, as the rounding of money is: up, down, nearest.
alter table deck_version add column duration_rounding text not null default 'up';
-- Hours of the week with a price of their own, as text: mo-fr 08:00-18:00 0.02 @+01:00. Mostly empty.
alter table rate add column periods text not null default '';
