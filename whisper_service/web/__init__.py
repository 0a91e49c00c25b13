"""HTTP: the API, its event streams, its documentation and the page. Makes no decisions about jobs."""
