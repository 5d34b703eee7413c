-- Aggregates of every family: which are computed natively, and what they show as rows come and go.
CREATE TABLE m (g int, i int, n numeric, f float8, t text, v interval, j int4range);
INSERT INTO m VALUES (1, 1, 1.50, 1, 'a', '1 day', '[1,3)'), (1, 2, 2.250, 2, 'b', '1 hour', '[2,5)'), (1, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, 7, 4, 0.5, 'c', '1 month', 'empty');
CREATE FUNCTION longer(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN length($2) > length($1) THEN $2 ELSE $1 END';
CREATE AGGREGATE longest (text) (sfunc = longer, stype = text, initcond = '');
SELECT pgtrickle.create_stream_table('natives',
    'SELECT g, variance(i) AS v, stddev_pop(n) AS s, bit_or(i) AS o, bit_xor(i) AS x, sum(v) AS iv, avg(v) AS av, regr_count(f, i) AS r, regr_slope(f, i) AS slope, any_value(g) AS a FROM m GROUP BY g',
    schedule => '1 ms');
SELECT pgtrickle.create_stream_table('ordered',
    'SELECT g, percentile_cont(0.5) WITHIN GROUP (ORDER BY i) AS p, mode() WITHIN GROUP (ORDER BY t) AS mode, rank(2) WITHIN GROUP (ORDER BY i) AS r FROM m GROUP BY g',
    schedule => '1 ms');
SELECT pgtrickle.create_stream_table('collections',
    'SELECT g, string_agg(t, '','' ORDER BY t DESC) AS s, array_agg(i ORDER BY i) AS a, jsonb_agg(DISTINCT t) AS j, JSON_OBJECTAGG(t: i) FILTER (WHERE t IS NOT NULL) AS o, JSON_ARRAYAGG(i ORDER BY i RETURNING jsonb) AS l, range_agg(j) AS r, longest(t) AS u FROM m GROUP BY g',
    schedule => '1 ms');
SELECT pgtrickle.explain('SELECT g, variance(i) AS v, stddev_pop(n) AS s, bit_or(i) AS o, corr(f, n) AS c FROM m GROUP BY g');
SELECT pgtrickle.explain('SELECT g, max(i) AS i, JSON_ARRAYAGG(t ORDER BY i) AS l, longest(t) FILTER (WHERE i > 1) AS u FROM m GROUP BY g');
SELECT * FROM natives ORDER BY g;
SELECT * FROM ordered ORDER BY g;
SELECT * FROM collections ORDER BY g;
INSERT INTO m VALUES (2, 3, 0.125, 8, 'longest', '-1 day', '[5,9)'), (3, NULL, NULL, NULL, NULL, NULL, NULL);
DELETE FROM m WHERE i = 2;
UPDATE m SET n = 'NaN' WHERE i = 1;
SELECT pgtrickle.refresh_all();
SELECT * FROM natives ORDER BY g;
SELECT * FROM ordered ORDER BY g;
SELECT * FROM collections ORDER BY g;
DELETE FROM m WHERE g < 3;
SELECT pgtrickle.refresh_all();
SELECT * FROM natives ORDER BY g;
SELECT * FROM collections ORDER BY g;
SELECT name, differences FROM (VALUES ('natives'), ('ordered'), ('collections')) AS t (name),
    LATERAL (SELECT count(*) AS differences FROM pgtrickle.verify(name)) AS v;
-- What is not a function of its rows.
CREATE FUNCTION now_and_then(text, text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1 || random()';
CREATE AGGREGATE jittery (text) (sfunc = now_and_then, stype = text, initcond = '');
SELECT construct FROM pgtrickle.validate_query('SELECT jittery(t) FROM m');
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['natives', 'ordered', 'collections']) AS name;
DROP AGGREGATE jittery (text);
DROP AGGREGATE longest (text);
DROP FUNCTION longer(text, text), now_and_then(text, text);
DROP TABLE m;
