-- What of a query is computed at which level: aggregates of outer queries, subqueries after windows, EXISTS with LIMIT,
-- values that nobody asks for.
CREATE SCHEMA levels;
SET search_path = levels;
CREATE TABLE t (id int PRIMARY KEY, g text, x int);
CREATE TABLE u (k int, v int);
INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 5), (4, NULL, 3);
INSERT INTO u VALUES (1, 10), (3, 20), (3, 30), (5, 40);

-- Aggregates in a subquery that belong to the query around it.
SELECT * FROM pgtrickle.explain('SELECT g, (SELECT max(v) FROM u WHERE u.k = sum(t.x)) AS m FROM t GROUP BY g');
SELECT pgtrickle.create_stream_table('outer_sums', 'SELECT g, (SELECT max(v) FROM u WHERE u.k = sum(t.x)) AS m, (SELECT count(*) FROM u WHERE EXISTS (SELECT FROM u i WHERE i.k = max(t.x) AND i.v = u.v)) AS n FROM t GROUP BY g', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('outer_having', 'SELECT (SELECT string_agg(t.id::text, '','' ORDER BY t.id)) AS ids FROM t HAVING (SELECT count(*) FROM u WHERE u.v > sum(t.x)) > 1', schedule => '1 hour');
-- Subqueries that depend on a window function.
SELECT * FROM pgtrickle.explain('SELECT id, CASE WHEN row_number() OVER (PARTITION BY g ORDER BY id) = 1 THEN (SELECT max(v) FROM u WHERE u.k = t.x) END AS m FROM t');
SELECT pgtrickle.create_stream_table('after_windows', 'SELECT id, CASE WHEN row_number() OVER (PARTITION BY g ORDER BY id) = 1 THEN (SELECT max(v) FROM u WHERE u.k = t.x) END AS m, rank() OVER (ORDER BY x) IN (SELECT k FROM u WHERE v <> 10 * t.id) AS r FROM t', schedule => '1 hour');
-- EXISTS asks for the number of rows at most.
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.x LIMIT 3)');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.x OFFSET 1)');
SELECT pgtrickle.create_stream_table('numbers', 'SELECT id, EXISTS (SELECT FROM u WHERE u.k <= t.x LIMIT 2) AS some, EXISTS (SELECT FROM u WHERE u.k <= t.x OFFSET 1) AS two, EXISTS (SELECT FROM u LIMIT 0) AS none FROM t', schedule => '1 hour');
-- Of one row it does not matter which comes first; of others it does.
SELECT pgtrickle.create_stream_table('first_of_one', 'SELECT k, (SELECT g FROM t WHERE t.id = u.k LIMIT 1) AS g FROM u', schedule => '1 hour');
SELECT incremental, reason FROM pgtrickle.validate_query('SELECT k, (SELECT g FROM t WHERE t.x > u.k LIMIT 1) AS g FROM u');
SELECT incremental, reason FROM pgtrickle.validate_query('SELECT k FROM u WHERE k IN (SELECT x FROM t LIMIT 1)');
-- Several rows are an error of those that ask.
SELECT pgtrickle.create_stream_table('asked', 'SELECT id, g, (SELECT v FROM u WHERE k = 3) AS v FROM t WHERE id > 10', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('partners', 'SELECT t.id, u.v FROM t LEFT JOIN u ON u.k > 10 AND (SELECT i.v FROM u i WHERE i.k = t.x) > 0', schedule => '1 hour');

SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT * FROM outer_sums ORDER BY g;
SELECT * FROM outer_having;
SELECT * FROM after_windows ORDER BY id;
SELECT * FROM numbers ORDER BY id;
SELECT * FROM first_of_one ORDER BY k;
SELECT * FROM asked;
SELECT * FROM partners ORDER BY id;

INSERT INTO t VALUES (5, 'b', -2), (6, 'c', 1);
UPDATE t SET id = 0 WHERE id = 2;
DELETE FROM u WHERE v = 30;
INSERT INTO u VALUES (2, 9);
SELECT pgtrickle.refresh_all();
SELECT * FROM outer_sums ORDER BY g;
SELECT * FROM outer_having;
SELECT * FROM after_windows ORDER BY id;
SELECT * FROM numbers ORDER BY id;
SELECT * FROM first_of_one ORDER BY k;

INSERT INTO u VALUES (3, 31), (11, 7);
INSERT INTO t VALUES (11, 'd', 3);
SELECT pgtrickle.refresh_stream_table('asked');
SELECT sqlstate, message FROM pgtrickle.errors('asked');
SELECT pgtrickle.refresh_stream_table('partners');
SELECT DISTINCT sqlstate, message FROM pgtrickle.errors('partners');
DELETE FROM u WHERE v = 31;
SELECT pgtrickle.refresh_stream_table('asked');
SELECT * FROM asked;
SELECT pgtrickle.refresh_stream_table('partners');
SELECT * FROM partners ORDER BY id;

-- What occurs several times in a large plan is built, and shown, once.
SELECT count(*) FROM pgtrickle.explain('SELECT a.id FROM t a LEFT JOIN t b ON b.id = a.x LEFT JOIN t c ON c.id = b.x LEFT JOIN t d ON d.id = c.x LEFT JOIN t e ON e.id = d.x LEFT JOIN t f ON f.id = e.x LEFT JOIN t h ON h.id = f.x LEFT JOIN t i ON i.id = h.x LEFT JOIN t j ON j.id = i.x LEFT JOIN t k ON k.id = j.x LEFT JOIN t l ON l.id = k.x WHERE a.g <> l.g OR l.g IS NULL');
SELECT incremental, reason FROM pgtrickle.validate_query('SELECT a.id FROM t a FULL JOIN t b ON b.id = a.x FULL JOIN t c ON c.id = b.x FULL JOIN t d ON d.id = c.x FULL JOIN t e ON e.id = d.x FULL JOIN t f ON f.id = e.x FULL JOIN t h ON h.id = f.x FULL JOIN t i ON i.id = h.x FULL JOIN t j ON j.id = i.x');

SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['outer_sums', 'outer_having', 'after_windows', 'numbers', 'first_of_one', 'asked', 'partners']) AS name;
DROP SCHEMA levels CASCADE;
