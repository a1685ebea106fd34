pragma user_version = 7;

-- What was moved into quarantine is not freed.
alter table runs add column quarantined_bytes integer not null default 0;

-- Earlier runs were remembered as if it were. Where nothing was removed besides, the numbers can be set right.
update run_policies set bytes_freed = 0
    where sequence in (select sequence from runs where quarantined > 0 and removed = 0);
update runs set quarantined_bytes = bytes_freed, bytes_freed = 0 where quarantined > 0 and removed = 0;
