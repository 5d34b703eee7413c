-- refresh_stream_table(), refresh_all(), wait_for(), verify(), rebuild(), errors() and what they refuse.
CREATE TABLE t (a int PRIMARY KEY, b int);
INSERT INTO t SELECT i, i FROM generate_series(1, 5) i;
SELECT pgtrickle.create_stream_table('st', 'SELECT a, 10 / b AS q FROM t WHERE a < 100', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('sum', 'SELECT sum(q) AS s FROM st', schedule => '1 hour');
INSERT INTO t VALUES (6, 1);
SELECT pgtrickle.refresh_stream_table('sum');
TABLE sum;
-- Bulk, with every kind of change in one transaction.
BEGIN;
INSERT INTO t SELECT i, 2 FROM generate_series(10, 19) i;
UPDATE t SET b = 5 WHERE a = 1;
SAVEPOINT s;
DELETE FROM t;
ROLLBACK TO s;
DELETE FROM t WHERE a = 2;
COMMIT;
SELECT pgtrickle.refresh_all();
TABLE sum;
SELECT sum(10 / b) FROM t WHERE a < 100;
SELECT * FROM pgtrickle.verify('st');
SELECT * FROM pgtrickle.verify('sum');
-- wait_for() does not force anything, and gives up in time; true once it is current.
INSERT INTO t VALUES (7, 10);
SELECT pgtrickle.wait_for('st', '10 ms');
SELECT pgtrickle.wait_for('st', '0');
SELECT count(*) FROM st WHERE a = 7;
SELECT pgtrickle.refresh_stream_table('st');
SELECT pgtrickle.wait_for('st');
SELECT pgtrickle.wait_for('st', '-1 s');
-- Rebuilding changes nothing that is right.
CREATE TABLE before AS SELECT ctid AS place, * FROM st;
SELECT pgtrickle.rebuild('st');
SELECT count(*) FROM (TABLE before EXCEPT SELECT ctid, * FROM st) d;
SELECT * FROM pgtrickle.verify('st');

-- Errors are data: the last good content stays, and repair heals.
INSERT INTO t VALUES (8, 0), (9, 0);
SELECT pgtrickle.refresh_stream_table('st');
\echo :SQLSTATE
SELECT pgtrickle.refresh_stream_table('sum');
\echo :SQLSTATE
SELECT pgtrickle.wait_for('sum');
\echo :SQLSTATE
SELECT sqlstate, message, expression, row_text, occurrences FROM pgtrickle.errors('st');
SELECT name, status, last_error, error_rows FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT count(*) FROM st WHERE a IN (8, 9);
UPDATE t SET b = 1 WHERE a = 8;
DELETE FROM t WHERE a = 9;
SELECT pgtrickle.refresh_stream_table('sum');
SELECT * FROM pgtrickle.errors('st');
SELECT name, status, last_error, error_rows FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT (SELECT s FROM sum) = (SELECT sum(10 / b) FROM t WHERE a < 100) AS right;

-- The same in full mode.
SELECT pgtrickle.create_stream_table('f', 'SELECT a, 10 / b AS q FROM t WHERE a < 100', schedule => '1 hour', refresh_mode => 'full');
INSERT INTO t VALUES (9, 0);
SELECT pgtrickle.refresh_stream_table('f');
\echo :SQLSTATE
DELETE FROM t WHERE a = 9;
SELECT pgtrickle.refresh_stream_table('f');
SELECT count(*) FROM pgtrickle.verify('f');

-- In whose transaction: the caller's own changes are not committed yet, its snapshot may be too old, its locks in the way.
BEGIN;
INSERT INTO t VALUES (20, 20);
SELECT pgtrickle.refresh_stream_table('st');
SELECT count(*) FROM st WHERE a = 20;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pgtrickle.refresh_stream_table('st');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
LOCK TABLE st IN SHARE MODE;
SELECT pgtrickle.refresh_stream_table('st');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
LOCK TABLE t IN ACCESS EXCLUSIVE MODE;
SELECT pgtrickle.refresh_stream_table('sum');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SELECT pgtrickle.create_stream_table('fresh', 'SELECT a FROM t');
\echo :SQLSTATE
SELECT pgtrickle.verify('fresh');
\echo :SQLSTATE
ROLLBACK;
-- Names that are none.
SELECT pgtrickle.refresh_stream_table('nothing');
\echo :SQLSTATE
SELECT pgtrickle.refresh_stream_table('t');
\echo :SQLSTATE
SELECT pgtrickle.wait_for('nothing');
\echo :SQLSTATE
SELECT pgtrickle.wait_for(NULL);
\echo :SQLSTATE
SELECT pgtrickle.rebuild('t');
\echo :SQLSTATE
SELECT pgtrickle.verify('t');
\echo :SQLSTATE
SELECT pgtrickle.errors('t');
\echo :SQLSTATE
SELECT pgtrickle.refresh_history('t');
\echo :SQLSTATE
SELECT pgtrickle.stream_table_definition('t');
\echo :SQLSTATE
SELECT pgtrickle.dependencies('t');
\echo :SQLSTATE
SELECT pgtrickle.refresh_stream_table(NULL);
\echo :SQLSTATE

-- What is shown.
SELECT pgtrickle.refresh_all();
SELECT name, status, refresh_mode, sla_tier, schedule, schedule_text, last_refresh_at <= clock_timestamp() AS before,
       staleness_secs >= 0 AS stale, rows_changed_last_cycle >= 0 AS changed, pending_change_rows,
       state_bytes >= 0 AS state, last_error, effective_mode, mode_reason, owner = session_user::regrole AS own
  FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT source_table, stream_tables, pending_rows, pending_bytes, oldest_change_at FROM pgtrickle.change_buffer_status();
SELECT worker_pid > 0 AS pid, worker_state, sla_tier, stream_tables, suspended, failing, pending, oldest_pending_at
  FROM pgtrickle.scheduler_status();
-- The history is written within a second.
DO $$ BEGIN
    WHILE (SELECT count(*) FROM pgtrickle.refresh_history('sum')) < 3 LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT DISTINCT name, refreshed_at <= clock_timestamp() AS before, duration_ms > 0 AS took, rows_changed > 0 AS changed,
       delta_compute_ms >= 0 AS compute, merge_apply_ms >= 0 AS apply, error
  FROM pgtrickle.refresh_history('sum');
-- A quiet table does not grow stale: it is known to be current when someone looks.
DROP TABLE t CASCADE;
DROP TABLE before;
