-- The probability of the language of a chunk when the model detected it.

ALTER TABLE chunk ADD COLUMN language_probability REAL CHECK (language_probability BETWEEN 0 AND 1);
