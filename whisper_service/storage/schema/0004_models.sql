-- What is known of models beyond what lies on the disk: downloads that go on after a restart, and what went wrong.

CREATE TABLE model (
    name    TEXT    NOT NULL PRIMARY KEY,
    -- absent: it could not be fetched. broken: it could not be loaded.
    state   TEXT    NOT NULL CHECK (state IN ('downloading', 'absent', 'broken')),
    -- Somebody asked for the download itself; else it ends with the jobs that want the model.
    asked   INTEGER NOT NULL CHECK (asked IN (0, 1)),
    problem TEXT    CHECK (json_type(problem) = 'object'),
    CHECK ((state = 'downloading') = (problem IS NULL))
) STRICT;
