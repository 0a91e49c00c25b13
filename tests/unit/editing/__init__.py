"""Tests of the editing of transcripts."""
