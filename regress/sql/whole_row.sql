-- Rows as wholes, and columns that no row has: how they are planned, and what they show as rows come and go.
CREATE TABLE people (id int PRIMARY KEY, gone int, name text, born int,
    age int GENERATED ALWAYS AS (2024 - born) VIRTUAL, shout text GENERATED ALWAYS AS (upper(name)) STORED);
ALTER TABLE people DROP COLUMN gone;
CREATE TABLE pets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int, kind text);
INSERT INTO people VALUES (1, 'ann', 1990), (2, 'bob', 2000), (3, NULL, NULL);
INSERT INTO pets (owner, kind) VALUES (1, 'cat'), (1, 'dog'), (NULL, NULL);
CREATE FUNCTION introduced(people) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.name || '' is '' || $1.age';
SELECT pgtrickle.create_stream_table('whole', 'SELECT p.id, p, introduced(p), to_jsonb(p) AS j FROM people p', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('padded', 'SELECT p.id, t AS pet, t IS NULL AS without FROM people p LEFT JOIN pets t ON t.owner = p.id', schedule => '1 ms');
SELECT pgtrickle.create_stream_table('counted', 'SELECT p.id, count(t) AS pets, p.age FROM people p LEFT JOIN pets t ON t.owner = p.id GROUP BY p.id, p.age', schedule => '1 ms');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT * FROM whole ORDER BY id;
SELECT * FROM padded ORDER BY id, pet;
SELECT * FROM counted ORDER BY id;
UPDATE people SET born = 1991 WHERE id = 1;
UPDATE people SET name = 'cyd', born = 2010 WHERE id = 3;
DELETE FROM pets WHERE kind = 'cat';
INSERT INTO pets (owner) VALUES (3);
SELECT pgtrickle.refresh_all();
SELECT * FROM whole ORDER BY id;
SELECT * FROM padded ORDER BY id, pet;
SELECT * FROM counted ORDER BY id;
-- A generated column with another expression.
ALTER TABLE people ALTER age SET EXPRESSION AS (2030 - born);
SELECT pgtrickle.refresh_all();
SELECT * FROM counted ORDER BY id;
SELECT introduced FROM whole ORDER BY id;
-- How they are planned.
SELECT pgtrickle.explain('SELECT p.id, p FROM people p');
SELECT pgtrickle.explain('SELECT p.id, t IS NULL FROM people p LEFT JOIN pets t ON t.owner = p.id');
SELECT pgtrickle.explain('SELECT id, age FROM people WHERE age > 3');
SELECT pgtrickle.explain('SELECT (p).name FROM people p');
SELECT incremental FROM pgtrickle.validate_query('SELECT tableoid FROM people');
SELECT construct FROM pgtrickle.validate_query('SELECT ctid FROM people');
SELECT construct FROM pgtrickle.validate_query('SELECT xmin FROM people');
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['whole', 'padded', 'counted']) AS name;
DROP FUNCTION introduced(people);
DROP TABLE people, pets;
