-- Partitioned tables, partitions and inheritance: how they are planned, and what is shown as rows and members come and go.
CREATE TABLE measures (id int, at date, city text, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE measures_2024 PARTITION OF measures FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE measures_2025 (v int, city text, gone int, at date NOT NULL, id int NOT NULL);
ALTER TABLE measures_2025 DROP COLUMN gone;
ALTER TABLE measures ATTACH PARTITION measures_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE things (id int, name text);
CREATE TABLE machines (power int) INHERITS (things);
INSERT INTO measures VALUES (1, '2024-03-01', 'Oslo', 4), (2, '2025-03-01', 'Rome', 5), (3, '2025-04-01', 'Oslo', 6);
INSERT INTO things VALUES (1, 'stone');
INSERT INTO machines VALUES (2, 'crane', 100);
SELECT pgtrickle.create_stream_table('of_all', 'SELECT id, at, city, v FROM measures', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('cities', 'SELECT city, count(*), sum(v) FROM measures GROUP BY city', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('late', 'SELECT id, v FROM measures_2025', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('names', 'SELECT id, name FROM things', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('own', 'SELECT id, name FROM ONLY things', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('places', 'SELECT tableoid AS member, count(*) FROM measures GROUP BY tableoid', schedule => '1 ms');
SELECT pgtrickle.refresh_all();
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
-- Rows come, move and go, by the root and by a member.
INSERT INTO measures VALUES (4, '2024-05-01', 'Rome', 7);
INSERT INTO measures_2025 (id, at, city, v) VALUES (5, '2025-05-01', 'Bonn', 8);
UPDATE measures SET at = '2025-06-01' WHERE id = 1;
DELETE FROM measures WHERE id = 2;
UPDATE things SET name = upper(name);
DELETE FROM ONLY things;
INSERT INTO things VALUES (3, 'leaf');
SELECT pgtrickle.refresh_all();
SELECT * FROM of_all ORDER BY id;
SELECT * FROM cities ORDER BY city;
SELECT * FROM late ORDER BY id;
SELECT * FROM names ORDER BY id;
SELECT * FROM own ORDER BY id;
SELECT member::regclass, count FROM places ORDER BY 1;
-- Members come and go.
CREATE TABLE measures_2026 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO measures VALUES (6, '2026-01-01', 'Riga', 9);
CREATE TABLE plants () INHERITS (things);
INSERT INTO plants VALUES (4, 'fern');
SELECT pgtrickle.refresh_all();
SELECT * FROM cities ORDER BY city;
SELECT * FROM names ORDER BY id;
SELECT member::regclass, count FROM places ORDER BY 1;
ALTER TABLE measures DETACH PARTITION measures_2025;
DROP TABLE plants;
TRUNCATE measures_2024;
SELECT pgtrickle.refresh_all();
SELECT * FROM cities ORDER BY city;
SELECT * FROM late ORDER BY id;
SELECT * FROM names ORDER BY id;
-- How they are planned.
SELECT pgtrickle.explain('SELECT id, at, city FROM measures');
SELECT regexp_replace(line, '\d{4,}', 'things') AS explain
    FROM pgtrickle.explain('SELECT name, count(*) FROM ONLY things GROUP BY name') AS line;
SELECT pgtrickle.explain('SELECT tableoid, count(*) FROM measures GROUP BY tableoid');
-- What cannot be captured is named.
CREATE UNLOGGED TABLE scratch () INHERITS (things);
SELECT incremental, construct, reason FROM pgtrickle.validate_query('SELECT id FROM things');
SELECT incremental, construct, reason FROM pgtrickle.validate_query('SELECT id FROM machines');
SELECT incremental FROM pgtrickle.validate_query('SELECT id FROM ONLY measures');
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['of_all', 'cities', 'late', 'names', 'own', 'places']) AS name;
DROP TABLE measures, measures_2025;
DROP TABLE things CASCADE;
