"""The phases of a study, one file each, to be read aloud: ask the sites, add, finish, store."""
