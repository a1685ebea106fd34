pragma user_version = 8;

-- The name of our folder in a root where somebody else has the ordinary one. It can be found without this, by reading
-- all names in the root.
create table own_folders (
    root blob primary key,
    name blob not null
) strict, without rowid;
