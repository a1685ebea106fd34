-- "Clnp": how SQLite tells one program's databases from another's.
pragma application_id = 1131179632;
-- Raised by every migration to its own number: one cheap look at the header says whether there is anything to do.
pragma user_version = 1;

-- In the order in which runs were recorded, which no jump of a clock can change.
create table runs (
    sequence integer primary key,
    id text not null unique,
    started_by text not null,
    started_at text not null,
    finished_at text not null,
    recorded_seconds integer not null,
    status text not null,
    due integer not null,
    removed integer not null,
    quarantined integer not null,
    bytes_freed integer not null,
    errors integer not null,
    report text not null
) strict;

-- What the clocks said in the runs whose clock was trusted.
create table clock (
    sequence integer primary key,
    wall_seconds integer not null,
    wall_nanos integer not null,
    boot_nanos integer not null,
    running_nanos integer not null,
    boot_id text not null
) strict;

-- What a policy looked like when it last ran.
create table policies (
    name text primary key,
    deciding text not null,
    root text not null,
    file_system text,
    boot_id text not null,
    mount_namespace text
) strict, without rowid;

-- What observing runs would have taken and kept. A generation counts once it is finished.
create table generations (
    id integer primary key autoincrement,
    policy text not null,
    finished integer not null default 0,
    seen_seconds integer
) strict;

create table observed (
    generation integer not null,
    path blob not null,
    due integer not null,
    primary key (generation, path)
) strict, without rowid;
