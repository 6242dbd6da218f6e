"""The verification suite: `bash tests/run.sh --verify`; apart from the tests, which ask for less and take less."""
