"""Models that only the tests have: as small and as large as models come."""
