-- How sure the model was of the language of a chunk, where it had to find it out.

ALTER TABLE chunk ADD COLUMN language_probability REAL CHECK (language_probability BETWEEN 0 AND 1);
