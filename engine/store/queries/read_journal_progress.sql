SELECT shipped_seq FROM journal_progress WHERE journal_id = $1
