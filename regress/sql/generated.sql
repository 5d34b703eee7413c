-- Generated columns, stored and virtual; identity columns; system columns, which are refused with the reason.
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int,
                s int GENERATED ALWAYS AS (a + b) STORED, v int GENERATED ALWAYS AS (a * 2) VIRTUAL,
                d text GENERATED ALWAYS AS (upper('n' || a)) VIRTUAL);
INSERT INTO t (a, b) VALUES (1, 2), (3, NULL), (NULL, 5);
SELECT pgtrickle.create_stream_table('shown', 'SELECT id, s, v, d FROM t WHERE v IS DISTINCT FROM 2', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('summed', 'SELECT sum(s) AS s, sum(v) AS v, max(d) AS d FROM t', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('joined', 'SELECT x.id, y.id AS other FROM t x JOIN t y ON x.v = y.s - 1', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT id, s, v FROM t WHERE v > 2');
SELECT * FROM shown ORDER BY id;
SELECT * FROM summed;
SELECT * FROM joined ORDER BY id, other;
UPDATE t SET a = a + 1;
INSERT INTO t (a, b) VALUES (10, 10);
SELECT pgtrickle.refresh_all();
SELECT * FROM shown ORDER BY id;
SELECT * FROM summed;
SELECT * FROM joined ORDER BY id, other;
-- A new expression is new content.
ALTER TABLE t ALTER COLUMN s SET EXPRESSION AS (a - b);
ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (a * 3);
SELECT pgtrickle.refresh_all();
SELECT * FROM shown ORDER BY id;
SELECT * FROM summed;
SELECT * FROM joined ORDER BY id, other;
SELECT column_name, construct, reason FROM unnest(ARRAY['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']) AS column_name,
       LATERAL pgtrickle.validate_query(format('SELECT %I FROM t', column_name));
SELECT pgtrickle.create_stream_table('refused', 'SELECT id, ctid AS place FROM t', refresh_mode => 'differential');
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['shown', 'summed', 'joined']) AS name;
DROP TABLE t;
