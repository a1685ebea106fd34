pragma user_version = 6;

-- How many files the last run would have removed, when it only observed; null when it enforced.
alter table policies add column foreseen integer;

-- How many items came back from quarantine, in a run that restored.
alter table runs add column restored integer not null default 0;
