-- Temporal filters: what they are, what their plans look like, and what is refused and why.
CREATE SCHEMA temporal;
SET search_path = temporal;
SET TimeZone = 'America/New_York';
CREATE TABLE t (id int PRIMARY KEY, g int, ts timestamptz, until timestamptz, l timestamp, d date, span interval, done bool);

SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE ts > now() - interval ''1 hour'' AND g = 1');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE ts + interval ''1 h'' >= current_timestamp');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE ts <= now() AND (until IS NULL OR now() < until)');
SELECT * FROM pgtrickle.explain('SELECT g, count(*) FROM t WHERE d = current_date GROUP BY g HAVING max(ts) < now() - interval ''5 min''');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE NOT done OR now() - ts < interval ''1 day''');

-- One way to say yes, and the reason to say no.
CREATE FUNCTION verdict(condition text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(max(line) FILTER (WHERE line LIKE '%Construct:%') || E'\n' || max(line) FILTER (WHERE line LIKE '%Reason:%'),
                    'temporal filter')
      FROM pgtrickle.explain('SELECT id FROM temporal.t WHERE ' || condition) line $$;
\pset format unaligned
\pset tuples_only
SELECT c || E'\n  ' || verdict(c) FROM (VALUES (1, 'ts > now() - interval ''36 hours'''),
 (2, 'ts BETWEEN now() - interval ''1 h'' AND now()'), (3, 'statement_timestamp() >= ts'), (4, 'd >= current_date - 7'),
 (5, 'ts >= current_date'), (6, 'd < now()'), (7, 'date_trunc(''day'', ts) = date_trunc(''day'', now())'),
 (8, 'ts >= date_trunc(''month'', now())'), (9, 'l > now() AT TIME ZONE ''UTC'' - 3 * interval ''1 day'''),
 (10, 'l::date = (now() AT TIME ZONE ''Asia/Tokyo'')::date'), (11, 'ts > now() - make_interval(mins => 5)'),
 (12, 'now() - ts < ''1 day'''), (13, 'current_date - d <= 30'), (14, 'ts - interval ''1 month'' < now()'),
 (15, 'done OR NOT (ts > now() AND until > now())'), (16, 'ts > date_trunc(''hour'', now())'), (17, 'ts <> now()'),
 (18, 'l > localtimestamp'), (19, 'ts > now() - interval ''1 day'''), (20, 'ts > now() - interval ''1 month'''),
 (21, 'd > current_date - interval ''1 year'''), (22, 'l > now()::timestamp'), (23, 'ts > now() - span'),
 (24, 'ts - now() < span'), (25, 'ts::time > localtime'), (26, 'age(ts) < ''1 day'''), (27, 'age(now(), ts) < ''1 day'''),
 (28, 'extract(year FROM now()) = g'), (29, '(ts > now()) = done'), (30, 'coalesce(ts, now()) > until'),
 (31, 'ts > clock_timestamp()'), (32, 'ts > current_timestamp(0)'), (33, 'l > now() AT TIME ZONE ''IST'''),
 (34, 'ts = ANY (ARRAY[now()])'), (35, 'ts > greatest(now(), ''2020-01-01'')'), (36, 'now() > now() - interval ''1 s'''),
 (37, 'tstzrange(ts, until) @> now()'), (38, 'current_date <@ daterange(d, d + 7)'), (39, 'tstzrange(ts, now()) @> until'),
 (40, '(ts > now()) IS NOT FALSE'), (41, 'coalesce(until > now(), done)'), (42, 'ts IS DISTINCT FROM now()'),
 (43, 'now() BETWEEN SYMMETRIC ts AND until'), (44, 'tstzmultirange(tstzrange(ts, until)) @> now()'),
 (45, 'current_date <@ datemultirange(daterange(d, d + 7))'), (46, 'l > localtimestamp(0)'), (47, 'ts > now()::timestamptz(3)'),
 (48, '(ts > now() AND g = 1) IS NULL'), (49, 'coalesce(ts > now() OR done, until > now())'), (50, '(ts - now()) IS NULL'),
 (51, 'l > now() AT TIME ZONE ''UTC'' - make_interval(days => 2147483647)'), (52, 'now() - ts < ''2147483647 days'''),
 (53, 'current_date - 2147483647 < d')
) AS v (n, c) ORDER BY n;
\pset tuples_only off
\pset format aligned
-- A day is 24 hours where the clocks are never changed.
SET TimeZone = 'Asia/Tokyo';
SELECT verdict('ts > now() - interval ''1 day'''), verdict('l > localtimestamp - interval ''7 days''');
-- Elsewhere than in a condition, the clock makes the query one that is run as a whole.
SELECT * FROM pgtrickle.explain('SELECT now() - ts AS age FROM t');
SELECT * FROM pgtrickle.explain('SELECT count(*) FILTER (WHERE ts > now()) FROM t');
SELECT * FROM pgtrickle.explain('SELECT a.id FROM t a LEFT JOIN t b ON a.id = b.g AND b.ts > now()');

SELECT * FROM pgtrickle.explain('SELECT a.id FROM t a LEFT JOIN t b ON a.id = b.g AND a.ts > now()');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE tstzrange(ts, until) @> now()');
SELECT * FROM pgtrickle.explain('SELECT id FROM t WHERE tstzmultirange(tstzrange(ts, until)) @> now() AND 12 / g > 1 AND g > 0');

-- Content, before and after changes.
SELECT pgtrickle.create_stream_table('temporal.s', 'SELECT id, ts FROM temporal.t WHERE ts > now() - interval ''1 hour'' AND until >= now()',
                                     refresh_mode => 'differential');
INSERT INTO t (id, ts, until) VALUES (1, now() - interval '2 hours', 'infinity'), (2, now(), 'infinity'), (3, 'infinity', now() + '1 day'),
    (4, '-infinity', 'infinity'), (5, now(), NULL), (6, NULL, now() + '1 day'), (7, now(), '-infinity'), (8, now() + '1 day', now() + '1 day');
SELECT pgtrickle.refresh_stream_table('temporal.s');
SELECT id FROM s ORDER BY id;
UPDATE t SET ts = now() - interval '61 minutes' WHERE id = 2;
UPDATE t SET ts = now() - interval '59 minutes' WHERE id = 1;
DELETE FROM t WHERE id IN (3, 4);
SELECT pgtrickle.refresh_stream_table('temporal.s');
SELECT id FROM s ORDER BY id;
SELECT * FROM pgtrickle.verify('temporal.s');
DROP SCHEMA temporal CASCADE;
