pragma user_version = 4;

-- Where a run that was to end by its time was stopped, for the next one to go on from.
create table stops (
    policy text primary key,
    -- What it counts for: the rule, and the folder that the root was.
    rule text not null,
    root text not null
) strict, without rowid;

-- What was next, the first of it first.
create table positions (
    policy text not null,
    number integer not null,
    folder blob not null,
    -- An entry of the folder, and where it was in it; null for the whole folder.
    entry blob,
    cookie integer,
    primary key (policy, number)
) strict;
