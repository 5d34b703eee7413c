-- Which constructs of SQL are incremental, and what the others are called. A construct that is not known to be right must
-- be named here; none may be silently incremental.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE TABLE t (a int PRIMARY KEY, b int, c text, n numeric(10, 2), f float8, ts timestamptz, j jsonb, ar int[],
                dropped int, g int GENERATED ALWAYS AS (b + 1) STORED, v int GENERATED ALWAYS AS (b + 2) VIRTUAL);
ALTER TABLE t DROP COLUMN dropped;
CREATE TABLE u (a int, b int, c varchar(10), p point, x xml, ch char(5), iv interval, r int4range);
CREATE VIEW simple AS SELECT a, b FROM t WHERE b > 0;
CREATE VIEW barrier WITH (security_barrier) AS SELECT a, b FROM t WHERE b > 0;
CREATE VIEW invoker WITH (security_invoker) AS SELECT a, b FROM t WHERE b > 0;
CREATE VIEW grouped AS SELECT b, count(*) AS n FROM t GROUP BY b;
CREATE VIEW outer_view AS SELECT t.a, u.b FROM t LEFT JOIN u USING (a);
CREATE VIEW limited AS SELECT a FROM t ORDER BY a LIMIT 1;
CREATE TABLE secured (a int);
CREATE SEQUENCE s;
CREATE FUNCTION im(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION st(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION vo(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE AGGREGATE im_sum(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE FUNCTION vo_step(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
CREATE AGGREGATE vo_sum(int) (sfunc = vo_step, stype = int, initcond = '0');
CREATE TABLE verdict (number int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO verdict (query) VALUES
-- Filter and projection.
('SELECT * FROM t'), ('SELECT a, b FROM t WHERE b > 1'), ('SELECT a + 1, upper(c), g FROM t'), ('SELECT v FROM t'), ('SELECT a FROM t WHERE v > 1'),
('SELECT j->>''k'', ar[1], ar || b FROM t'), ('SELECT CASE WHEN b = 0 THEN 0 ELSE a / b END FROM t'), ('SELECT p, x FROM u'),
('SELECT 1'), ('SELECT a FROM t WHERE c LIKE ''a%'' AND c ~ ''b'''), ('SELECT im(a) FROM t'), ('SELECT st(a) FROM t'),
('SELECT vo(a) FROM t'), ('SELECT a FROM t WHERE vo(a) = 1'), ('SELECT a FROM t ORDER BY b'), ('SELECT a FROM ONLY t'),
('SELECT t FROM t'), ('SELECT row(t.*) FROM t'), ('SELECT count(t) FROM t'), ('SELECT ctid FROM t'), ('SELECT a FROM t WHERE xmin = ''1'''), ('SELECT tableoid FROM t'),
('SELECT ROW(a, b) FROM t'), ('SELECT ts::text, ts::date FROM t'), ('SELECT date_trunc(''day'', ts) FROM t'), ('SELECT ts AT TIME ZONE ''UTC'' FROM t'),
('SELECT to_char(ts, ''YYYY'') FROM t'), ('SELECT a FROM t WHERE a IN (1, 2, 3)'), ('SELECT a FROM t WHERE a = ANY (ar)'),
('SELECT a FROM t WHERE ts > now()'), ('SELECT current_date FROM t'), ('SELECT current_timestamp - ts FROM t'), ('SELECT localtime FROM t'), ('SELECT age(ts) FROM t'),
('SELECT current_user FROM t'), ('SELECT current_setting(''TimeZone'') FROM t'), ('SELECT gen_random_uuid() FROM t'), ('SELECT nextval(''s'') FROM t'),
('SELECT txid_current() FROM t'), ('SELECT version() FROM t'), ('SELECT ''today''::timestamp FROM t'), ('SELECT c::timestamptz FROM t'), ('SELECT c::regclass FROM t'),
('SELECT to_regclass(c) FROM t'), ('SELECT has_table_privilege(c, ''SELECT'') FROM t'), ('SELECT pg_get_viewdef(a::oid) FROM t'), ('SELECT pg_sleep(1) FROM t'),
('SELECT to_tsvector(c) FROM t'), ('SELECT to_tsvector(''english'', c) FROM t'),
-- Joins.
('SELECT t.a FROM t, u WHERE t.a = u.a'), ('SELECT x.a FROM t x JOIN t y ON x.a = y.b JOIN u ON u.a = y.a AND u.b > x.b'), ('SELECT t.a FROM t CROSS JOIN u'),
('SELECT * FROM t NATURAL JOIN u'), ('SELECT * FROM t JOIN u USING (a)'), ('SELECT j FROM (t JOIN u USING (a)) AS q'), ('SELECT t.a FROM t LEFT JOIN u USING (a)'),
('SELECT u.a FROM t RIGHT JOIN u USING (a)'), ('SELECT t.a FROM t FULL JOIN u USING (a)'), ('SELECT t.a FROM t JOIN u ON t.c = u.ch'), ('SELECT t.a FROM t JOIN u ON t.f = t.n'),
('SELECT t.a FROM t, LATERAL (SELECT u.b FROM u WHERE u.a = t.a) l'), ('SELECT t.a, l.a FROM t, LATERAL (SELECT t.a) l'), ('SELECT t.a FROM t, generate_series(1, t.a)'), ('SELECT t.a FROM t, unnest(ar) e'),
('SELECT a FROM t WHERE a IN (SELECT a FROM u)'), ('SELECT a FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.a = t.a)'), ('SELECT (SELECT max(a) FROM u) FROM t'), ('SELECT ARRAY(SELECT a FROM u) FROM t'),
('SELECT a FROM t JOIN (VALUES (1, ''x''), (2, ''y'')) q(a, d) USING (a)'), ('VALUES (1), (2)'), ('VALUES (random())'),
('SELECT a FROM t TABLESAMPLE system (10)'),
-- Subqueries, views, CTEs.
('SELECT * FROM (SELECT a, b FROM t WHERE a > 1) q WHERE b > 1'), ('SELECT * FROM simple'), ('SELECT * FROM barrier'), ('SELECT * FROM invoker'), ('SELECT * FROM grouped g JOIN grouped h ON g.b = h.b'),
('SELECT * FROM outer_view'), ('SELECT * FROM limited'), ('SELECT simple FROM simple'), ('WITH q AS (SELECT a FROM t) SELECT * FROM q x JOIN q y USING (a)'),
('WITH q AS MATERIALIZED (SELECT a FROM t) SELECT * FROM q'), ('WITH q AS (SELECT random() AS r FROM t) SELECT * FROM q x, q y'), ('WITH q AS (SELECT random() AS r FROM t) SELECT a FROM t'),
('WITH RECURSIVE q AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM q WHERE a < 3) SELECT * FROM q'),
('WITH q AS (SELECT a FROM t), r AS (SELECT a FROM q WHERE a > 1) SELECT * FROM (WITH q AS (SELECT a FROM r) SELECT * FROM q) z'),
-- Aggregates.
('SELECT count(*), count(b), sum(b), avg(n), min(c), max(ts) FROM t'), ('SELECT b, sum(a) FILTER (WHERE a > 1) FROM t GROUP BY b'), ('SELECT b, count(DISTINCT c), sum(DISTINCT a), avg(DISTINCT n) FROM t GROUP BY b'),
('SELECT b + 1, count(*) FROM t GROUP BY b + 1 HAVING sum(a) > 1'), ('SELECT a, b, c, count(*) FROM t GROUP BY a'), ('SELECT 1 FROM t HAVING true'), ('SELECT b FROM t GROUP BY b'), ('SELECT 1 AS one FROM t GROUP BY ()'),
('SELECT string_agg(c, '','' ORDER BY a) FROM t GROUP BY b'), ('SELECT array_agg(a) FROM t'), ('SELECT stddev(n), corr(f, f) FROM t'), ('SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f) FROM t'), ('SELECT rank(3) WITHIN GROUP (ORDER BY a) FROM t'),
('SELECT jsonb_agg(b), json_object_agg(a, c) FROM t'), ('SELECT json_arrayagg(b) FROM t'), ('SELECT sum(f), avg(f) FROM t'), ('SELECT max(p::text), min(iv) FROM u'), ('SELECT im_sum(a) FROM t'), ('SELECT vo_sum(a) FROM t'),
('SELECT sum(vo(a)) FROM t'), ('SELECT count(*) FILTER (WHERE random() > 0.5) FROM t'), ('SELECT b, grouping(b) FROM t GROUP BY b'), ('SELECT b, c, count(*) FROM t GROUP BY ROLLUP (b, c)'), ('SELECT b, c FROM t GROUP BY CUBE (b, c)'),
('SELECT b, c FROM t GROUP BY GROUPING SETS ((b), (c))'), ('SELECT b, c FROM t GROUP BY GROUPING SETS ((b, c))'), 
('SELECT x::text FROM u GROUP BY x::text'), ('SELECT ch, iv, count(*) FROM u GROUP BY ch, iv'), ('SELECT r FROM u GROUP BY r'), ('SELECT j, count(*) FROM t GROUP BY j'), ('SELECT ar FROM t GROUP BY ar'), ('SELECT ROW(a, b) FROM t GROUP BY ROW(a, b)'),
('SELECT n, count(*) FROM t GROUP BY n'), ('SELECT f, count(*) FROM t GROUP BY f'), ('SELECT max(s) FROM (SELECT sum(a) AS s FROM t GROUP BY b) q'), ('SELECT b, rank() OVER (ORDER BY b) FROM t'), ('SELECT sum(sum(a)) OVER () FROM t GROUP BY b'),
('SELECT b, (SELECT count(*) FROM u WHERE u.a = t.b) FROM t GROUP BY b'), ('SELECT generate_series(1, b) FROM t'), ('SELECT unnest(ar), count(*) FROM t GROUP BY 1'), ('SELECT any_value(c) FROM t'), ('SELECT pg_typeof(sum(a)) FROM t'),
-- DISTINCT, set operations, limits.
('SELECT DISTINCT b, c FROM t'), ('SELECT DISTINCT ON (b) a FROM t ORDER BY b, a'), ('SELECT DISTINCT n FROM t'), ('SELECT a FROM t UNION ALL SELECT b FROM u'), ('SELECT a FROM t UNION SELECT b FROM u'),
('SELECT a FROM t UNION ALL SELECT n FROM t UNION ALL SELECT f FROM t'), ('SELECT a FROM t INTERSECT SELECT b FROM u'), ('SELECT a FROM t EXCEPT ALL SELECT b FROM u'), ('SELECT a FROM t UNION ALL SELECT b FROM u ORDER BY 1 LIMIT 1'), ('SELECT a FROM t ORDER BY a FETCH FIRST 1 ROW WITH TIES'),
('SELECT a FROM t OFFSET 1'), ('SELECT DISTINCT generate_series(1, 2) FROM t'), ('(SELECT a FROM t LIMIT 1) UNION ALL SELECT b FROM u'),
-- Other relations.
('SELECT last_value FROM s'), ('SELECT * FROM pg_settings'), ('SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) q'),
('SELECT * FROM json_to_record(''{"a":1}'') q(a int)'), ('SELECT * FROM json_table(''[1]'', ''$[*]'' COLUMNS (a int PATH ''$'')) q'), 
('SELECT json_value(j, ''$.a'') FROM t'), ('SELECT json_query(j, ''$.a'') FROM t'), ('SELECT json_object(''a'': a) FROM t'), ('SELECT c IS JSON FROM t'), ('SELECT greatest(a, b), least(c, ''x'') FROM t'), ('SELECT (ROW(a, b)) < (ROW(1, 2)) FROM t'), ('SELECT (a, b) = (1, 2) FROM t'), ('SELECT t.a FROM t JOIN u ON (t.a, t.b) = (u.a, u.b)'),
('SELECT merge_action() FROM t'), ('SELECT (t).a FROM t'), ('SELECT q.a FROM (SELECT t AS w, a FROM t) q'), ('SELECT (q.w).a FROM (SELECT t AS w FROM t) q');
CREATE FUNCTION verdict_of(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT CASE WHEN incremental THEN 'incremental' ELSE construct END FROM pgtrickle.validate_query(query));
EXCEPTION WHEN others THEN
  RETURN 'ERROR ' || SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT query || E'\n    -> ' || verdict_of(query) FROM verdict ORDER BY number;
DROP FUNCTION verdict_of(text), im(int), st(int), vo(int), vo_step(int, int) CASCADE;
DROP SEQUENCE s;
DROP TABLE t, u, secured, verdict CASCADE;
