-- VALUES, WITH, views of views: as if they were written out; what is used twice is built once. Functions of settings use the
-- settings of the moment of creation.
CREATE TABLE t (id int PRIMARY KEY, k int, at timestamptz);
INSERT INTO t VALUES (1, 1, '2024-03-31 00:30+00'), (2, 1, '2024-03-31 12:00+00'), (3, 2, '2024-10-27 00:30+00');
CREATE VIEW first_view AS SELECT k, count(*) AS n FROM t GROUP BY k;
CREATE VIEW second_view AS SELECT v.k, v.n, l.label FROM first_view v JOIN (VALUES (1, 'one'), (2, 'two')) AS l (k, label) USING (k);
SELECT pgtrickle.create_stream_table('viewed', 'SELECT * FROM second_view WHERE n > 0', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('twice', 'WITH g AS (SELECT k, count(*) AS n FROM t GROUP BY k) SELECT x.k, y.k AS next FROM g x JOIN g y ON y.n = x.n AND y.k > x.k', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('constants', 'VALUES (1, ''a''), (2, NULL), (2, NULL)', schedule => '1 ms');
SET TimeZone = 'Europe/Berlin';
SELECT pgtrickle.create_stream_table('days', 'SELECT date_trunc(''day'', at) AS day, to_char(min(at), ''YYYY-MM-DD HH24:MI TZ'') AS first, count(*) AS n FROM t GROUP BY date_trunc(''day'', at)', schedule => '1 ms');
SET TimeZone = 'UTC';
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT pgtrickle.explain('SELECT * FROM second_view WHERE n > 0');
SELECT pgtrickle.explain('WITH g AS (SELECT k, count(*) AS n FROM t GROUP BY k) SELECT x.k, y.k AS next FROM g x JOIN g y ON y.n = x.n AND y.k > x.k');
SELECT * FROM viewed ORDER BY k;
SELECT * FROM twice ORDER BY k;
SELECT * FROM constants ORDER BY 1;
SELECT * FROM days ORDER BY day;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (4, 3, '2024-10-27 23:30+00');
SELECT pgtrickle.refresh_all();
SELECT * FROM viewed ORDER BY k;
SELECT * FROM twice ORDER BY k, next;
SELECT * FROM days ORDER BY day;
-- A view that is replaced is followed as it is now.
CREATE OR REPLACE VIEW first_view AS SELECT k, count(*) + 10 AS n FROM t GROUP BY k;
SELECT pgtrickle.refresh_all();
SELECT * FROM viewed ORDER BY k;
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['viewed', 'twice', 'constants', 'days']) AS name;
DROP VIEW second_view, first_view;
DROP TABLE t;
RESET TimeZone;
