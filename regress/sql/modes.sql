-- refresh_mode: what is incremental, what is not and why, and who hears of it.
CREATE TABLE t (a int PRIMARY KEY, b int, c text);
INSERT INTO t SELECT i, i % 4, 'c' || i FROM generate_series(1, 8) i;
SELECT pgtrickle.create_stream_table('inc', 'SELECT b, count(*) AS n FROM t GROUP BY b');
SELECT pgtrickle.create_stream_table('fallback', 'SELECT a FROM t LIMIT 300');
SELECT pgtrickle.create_stream_table('asked', 'SELECT b, count(*) AS n FROM t GROUP BY b', refresh_mode => 'full');
SELECT pgtrickle.create_stream_table('never', 'SELECT a FROM t LIMIT 300', refresh_mode => 'differential');
\echo :SQLSTATE
SELECT pgtrickle.create_stream_table('never', 'SELECT random() AS r FROM t', refresh_mode => 'differential');
\echo :SQLSTATE
SELECT to_regclass('never');
SELECT name, refresh_mode, effective_mode, mode_reason FROM pgtrickle.stream_table_status();

-- All of them follow.
INSERT INTO t VALUES (0, 0, 'zero');
DELETE FROM t WHERE b = 3;
SELECT pgtrickle.refresh_all();
SELECT * FROM inc ORDER BY b;
SELECT * FROM fallback ORDER BY a;
SELECT * FROM asked ORDER BY b;
SELECT count(*) FROM pgtrickle.verify('inc');
SELECT count(*) FROM pgtrickle.verify('fallback');
SELECT count(*) FROM pgtrickle.verify('asked');

-- What a query would be, without making it.
SELECT * FROM pgtrickle.validate_query('SELECT b, count(*) FROM t GROUP BY b');
SELECT * FROM pgtrickle.validate_query('SELECT a FROM t LIMIT 1');
SELECT * FROM pgtrickle.validate_query('SELECT a, rank() OVER (ORDER BY b) FROM t');
SELECT * FROM pgtrickle.validate_query('SELECT now() AS t FROM t');
SELECT * FROM pgtrickle.validate_query('SELECT random() AS t FROM t');
SELECT * FROM pgtrickle.validate_query('SELECT row_number() OVER () AS t FROM t');
SELECT * FROM pgtrickle.validate_query('SELECT a FROM t WHERE a > ALL (SELECT b FROM t u LIMIT 1)');
SELECT * FROM pgtrickle.validate_query('SELECT a FROM pg_catalog.generate_series(1, 2) a');
SELECT * FROM pgtrickle.validate_query('SELECT relname FROM pg_class');
CREATE TABLE parted (a int) PARTITION BY LIST (a);
SELECT * FROM pgtrickle.validate_query('SELECT a FROM parted');
CREATE UNLOGGED TABLE unlogged (a int);
SELECT * FROM pgtrickle.validate_query('SELECT a FROM unlogged');
CREATE TABLE parent (a int);
CREATE TABLE child () INHERITS (parent);
SELECT * FROM pgtrickle.validate_query('SELECT a FROM parent');
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a;
SELECT * FROM pgtrickle.validate_query('SELECT a FROM mv');
SELECT * FROM pgtrickle.validate_query('SELECT a FROM nothing');
SELECT * FROM pgtrickle.validate_query('UPDATE t SET a = 1');
SELECT * FROM pgtrickle.validate_query('SELECT a FROM fallback');

-- explain()
SELECT pgtrickle.explain('SELECT a, b FROM t WHERE a > 3 AND c IS NOT NULL');
SELECT pgtrickle.explain('SELECT b, count(*), sum(a) AS s, max(c COLLATE "C") FROM t WHERE a BETWEEN 1 AND 5 GROUP BY b HAVING count(*) > 1');
SELECT pgtrickle.explain('SELECT x.c, y.c AS d FROM t x JOIN t y ON y.a = x.b WHERE x.a + y.a > 3');
SELECT pgtrickle.explain('SELECT DISTINCT b FROM t UNION ALL SELECT n FROM inc');
SELECT pgtrickle.explain('SELECT b, string_agg(c, '','' ORDER BY a) FROM t GROUP BY b');
SELECT pgtrickle.explain('SELECT a FROM t LIMIT 1');
SELECT pgtrickle.explain('SELECT 1', 'xml');
SELECT pgtrickle.explain(NULL);

-- From one mode to another.
SELECT pgtrickle.alter_stream_table('asked', refresh_mode => 'auto');
SELECT pgtrickle.alter_stream_table('inc', refresh_mode => 'full');
SELECT pgtrickle.alter_stream_table('fallback', refresh_mode => 'differential');
SELECT name, refresh_mode, effective_mode FROM pgtrickle.stream_table_status();
UPDATE t SET b = b + 1;
SELECT pgtrickle.refresh_all();
SELECT * FROM inc ORDER BY b;
SELECT * FROM asked ORDER BY b;
DROP TABLE t, parted, unlogged, parent, child CASCADE;
DROP MATERIALIZED VIEW mv;
