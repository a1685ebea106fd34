pragma user_version = 2;

-- When policies last ran by themselves or by hand, and when they last did all that was asked of them.
create table last_runs (
    policy text primary key,
    started_at text not null,
    succeeded_at text
) strict, without rowid;

-- Tracked files that were registered later than their own stamps tell. All others are told by the disk.
create table tracked (
    policy text not null,
    path blob not null,
    seconds integer not null,
    nanos integer not null,
    primary key (policy, path)
) strict, without rowid;
