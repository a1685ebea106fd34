pragma user_version = 5;

-- How many names the query of `keep_referenced` answered in the last complete run; null where that is not known.
alter table policies add column referenced integer;

-- Whether the policy's root did not exist, and is not said to come and go.
alter table run_policies add column root_missing integer not null default 0;
