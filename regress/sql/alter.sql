-- alter_stream_table()
CREATE TABLE t (a int PRIMARY KEY, b int, c text);
INSERT INTO t SELECT i, i % 2, 'c' || i FROM generate_series(1, 4) i;
SELECT pgtrickle.create_stream_table('st', 'SELECT a, b FROM t');
-- Nothing given, nothing done.
SELECT pgtrickle.alter_stream_table('st');
SELECT schedule_text, sla_tier FROM pgtrickle.stream_table_status();
SELECT pgtrickle.alter_stream_table('st', schedule => '2 hours', sla_tier => 'background');
SELECT schedule, schedule_text, sla_tier FROM pgtrickle.stream_table_status();
SELECT pgtrickle.alter_stream_table('st', schedule => 'default');
SELECT schedule, schedule_text, sla_tier FROM pgtrickle.stream_table_status();
-- Suspended: it stays as it is, and says so.
SELECT pgtrickle.alter_stream_table('st', status => 'suspended');
INSERT INTO t VALUES (5, 5, 'c5');
SELECT status FROM pgtrickle.stream_table_status();
SELECT pgtrickle.refresh_stream_table('st');
\echo :SQLSTATE
SELECT pgtrickle.wait_for('st');
\echo :SQLSTATE
SELECT pgtrickle.verify('st');
\echo :SQLSTATE
SELECT pgtrickle.rebuild('st');
\echo :SQLSTATE
SELECT pgtrickle.refresh_all();
SELECT count(*) FROM st;
SELECT pgtrickle.alter_stream_table('st', status => 'active');
SELECT pgtrickle.refresh_stream_table('st');
SELECT count(*) FROM st;
-- Another query, same columns: the difference is written.
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a, b FROM t WHERE a > 2');
SELECT * FROM st ORDER BY a;
INSERT INTO t VALUES (6, 6, 'c6'), (0, 0, 'c0');
SELECT pgtrickle.refresh_stream_table('st');
SELECT * FROM st ORDER BY a;
SELECT * FROM pgtrickle.verify('st');
-- Columns may be added at the end, and types changed.
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM t WHERE a > 2');
\d st
INSERT INTO t VALUES (7, 7, 'c7');
SELECT pgtrickle.refresh_stream_table('st');
SELECT * FROM st ORDER BY a;
-- Another key, none, and one again.
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT max(a)::int8 AS a, b, max(c) AS c FROM t GROUP BY b');
\d st
DELETE FROM t WHERE a = 7;
SELECT pgtrickle.refresh_stream_table('st');
SELECT * FROM st ORDER BY b;
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT 1::int8 AS a, b, c FROM t');
\d st
SELECT * FROM pgtrickle.verify('st');
-- To a query that is refreshed in full, and back.
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT * FROM (SELECT a::int8 AS a, b, c FROM t ORDER BY a LIMIT 2) q LIMIT 2');
SELECT * FROM st ORDER BY a;
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM t WHERE a < 2');
SELECT * FROM st ORDER BY a;
-- With stream tables on top.
SELECT pgtrickle.create_stream_table('top', 'SELECT count(*) AS n, sum(a) AS s FROM st');
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM t WHERE a > 4');
SELECT pgtrickle.refresh_stream_table('top');
TABLE top;
-- What it refuses, leaving everything as it was.
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT b, a FROM t');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a FROM t');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM st');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT s AS a, n AS b, n AS c FROM top');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT s::int8 AS a, n::int AS b, ''''::text AS c FROM top');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELEKT');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM t LIMIT 1', refresh_mode => 'differential');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT (1 / (a - a))::int8 AS a, b, c FROM t');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int4 AS a, b, c FROM t');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', schedule => 'soon');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', sla_tier => 'gold');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', refresh_mode => 'often');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('st', status => 'lazy');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('t', status => 'active');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table('nothing', status => 'active');
\echo :SQLSTATE
SELECT pgtrickle.alter_stream_table(NULL, status => 'active');
\echo :SQLSTATE
SELECT pgtrickle.stream_table_definition('st');
SELECT pgtrickle.refresh_all();
SELECT * FROM st ORDER BY a;
SELECT * FROM pgtrickle.verify('st');
SELECT * FROM pgtrickle.verify('top');
-- Rolled back.
BEGIN;
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT a::int8 AS a, b, c FROM t WHERE a = 0');
SELECT count(*) FROM st;
ROLLBACK;
INSERT INTO t VALUES (8, 8, 'c8');
SELECT pgtrickle.refresh_all();
SELECT * FROM st ORDER BY a;
TABLE top;
DROP TABLE t CASCADE;
