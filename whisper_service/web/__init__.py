"""HTTP: the API, its event streams, its documentation and the pages. Translates; decides nothing."""
