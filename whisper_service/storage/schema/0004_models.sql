-- States of models that their files do not tell: downloads that continue after a restart, and problems.

CREATE TABLE model (
    name    TEXT    NOT NULL PRIMARY KEY,
    -- absent: the download failed. broken: the model could not be loaded.
    state   TEXT    NOT NULL CHECK (state IN ('downloading', 'absent', 'broken')),
    -- 1: a user asked for the download. 0: it ends with the jobs that need the model.
    asked   INTEGER NOT NULL CHECK (asked IN (0, 1)),
    problem TEXT    CHECK (json_type(problem) = 'object'),
    CHECK ((state = 'downloading') = (problem IS NULL))
) STRICT;
