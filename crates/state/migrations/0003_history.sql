pragma user_version = 3;

-- What came of each policy in each run: pages by policy and curves over time read this, never the reports.
create table run_policies (
    sequence integer not null,
    policy text not null,
    recorded_seconds integer not null,
    run_status text not null,
    status text not null,
    -- Whether it was a sweep, not only the deadlines of tracked files.
    swept integer not null,
    due integer not null,
    removed integer not null,
    bytes_freed integer not null,
    -- Null where the run did not look at everything that the policy means.
    kept integer,
    kept_bytes integer,
    primary key (sequence, policy)
) strict, without rowid;

create index run_policies_by_policy on run_policies (policy, sequence);
create index run_policies_by_status on run_policies (policy, run_status, sequence);
create index run_policies_by_time on run_policies (recorded_seconds);
create index runs_by_status on runs (status, sequence);

create trigger forget_run after delete on runs begin
    delete from run_policies where sequence = old.sequence;
end;

-- Earlier runs have all of it in their reports, but for the bytes that they kept.
insert or ignore into run_policies
    select runs.sequence, value ->> 'name', recorded_seconds, runs.status, value ->> 'status',
        started_by <> 'deadline', value ->> 'due', (value ->> 'removed') + (value ->> 'quarantined'),
        value ->> 'bytes_freed',
        case when started_by <> 'deadline' and value ->> 'status' in ('ok', 'partial', 'held')
            then max(0, (value ->> 'matched') - (value ->> 'removed') - (value ->> 'quarantined') - (value ->> 'vanished'))
        end,
        null
    from runs, json_each(runs.report, '$.policies')
    where json_valid(runs.report) and json_type(value, '$.name') = 'text' and json_type(value, '$.status') = 'text'
        and json_type(value, '$.due') = 'integer' and json_type(value, '$.matched') = 'integer'
        and json_type(value, '$.removed') = 'integer' and json_type(value, '$.quarantined') = 'integer'
        and json_type(value, '$.vanished') = 'integer' and json_type(value, '$.bytes_freed') = 'integer';
