pragma user_version = 8;

-- The names of our folders in a root where somebody else has the ordinary one. They can be found without this, by
-- reading all names in the root.
create table own_folders (
    root blob not null,
    name blob not null,
    primary key (root, name)
) strict, without rowid;
