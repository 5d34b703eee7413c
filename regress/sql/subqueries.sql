-- Subqueries in expressions and LATERAL ones: what the plans are, and what the content is before and after changes.
CREATE SCHEMA sub;
SET search_path = sub;
CREATE TABLE c (id int PRIMARY KEY, name text NOT NULL, vip bool);
CREATE TABLE o (id int PRIMARY KEY, c int, qty int, price numeric);
INSERT INTO c VALUES (1, 'ann', true), (2, 'bob', NULL), (3, 'eve', false);
INSERT INTO o VALUES (1, 1, 5, 1.0), (2, 1, 7, 1.00), (3, 2, 0, 2), (4, NULL, 1, NULL);

-- By groups, without bindings: what the aggregate is compared by is a key of the groups.
SELECT * FROM pgtrickle.explain('SELECT id, (SELECT max(qty) FROM o WHERE o.c = c.id) AS m FROM c');
SELECT * FROM pgtrickle.explain('SELECT o.id FROM o WHERE qty > (SELECT avg(i.qty) FROM o i WHERE i.c = o.c)');
-- By bindings.
SELECT * FROM pgtrickle.explain('SELECT id, (SELECT count(*) FROM o WHERE o.c < c.id) AS n FROM c');
SELECT * FROM pgtrickle.explain('SELECT id FROM c WHERE vip OR EXISTS (SELECT FROM o WHERE o.c = c.id AND o.qty > 5)');
SELECT * FROM pgtrickle.explain('SELECT id, 7 IN (SELECT qty FROM o) AS seven FROM c');
-- One that only filters and joins dissolves in the query around it.
SELECT * FROM pgtrickle.explain('SELECT c.id, x.qty FROM c, LATERAL (SELECT qty FROM o WHERE o.c = c.id AND o.qty > 1) x');
SELECT * FROM pgtrickle.explain('SELECT c.id, x.n FROM c LEFT JOIN LATERAL (SELECT qty, count(*) AS n FROM o WHERE o.c = c.id GROUP BY qty) x ON x.n > 1');

SELECT pgtrickle.create_stream_table('counts', 'SELECT id, (SELECT count(*) FROM o WHERE o.c = c.id) AS n, (SELECT sum(qty) FROM o WHERE o.c <= c.id) AS s FROM c', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('three_valued', 'SELECT id, id IN (SELECT c FROM o) AS any, id <> ALL (SELECT c FROM o WHERE qty > 0) AS "all" FROM c', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('prices', 'SELECT id, (SELECT string_agg(i.id::text, '','' ORDER BY i.id) FROM o i WHERE i.price::text = o.price::text) AS same FROM o', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('guarded', 'SELECT id, CASE WHEN vip THEN (SELECT o.qty FROM o WHERE o.c = c.id) END AS only FROM c WHERE id > 1', schedule => '1 hour');
SELECT pgtrickle.create_stream_table('best', 'SELECT c.name, x.id, x.qty FROM c, LATERAL (SELECT id, qty FROM o WHERE o.c = c.id ORDER BY qty DESC, id LIMIT 1) x', schedule => '1 hour');
SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name;
SELECT * FROM counts ORDER BY id;
SELECT * FROM three_valued ORDER BY id;
SELECT * FROM prices ORDER BY id;
SELECT * FROM guarded ORDER BY id;
SELECT * FROM best ORDER BY name;

INSERT INTO o VALUES (5, 3, 9, 1.0), (6, 3, 2, 3), (7, 1, 7, 1);
DELETE FROM o WHERE id = 4;
UPDATE c SET vip = true WHERE id = 2;
SELECT pgtrickle.refresh_all();
SELECT * FROM counts ORDER BY id;
SELECT * FROM three_valued ORDER BY id;
SELECT * FROM prices ORDER BY id;
SELECT * FROM guarded ORDER BY id;
SELECT * FROM best ORDER BY name;

-- A second row for a customer who gets there is an error of that row; without it all is well again.
UPDATE c SET vip = true WHERE id = 3;
SELECT pgtrickle.refresh_stream_table('guarded');
SELECT * FROM guarded ORDER BY id;
SELECT sqlstate, message FROM pgtrickle.errors('guarded');
DELETE FROM o WHERE id = 6;
SELECT pgtrickle.refresh_stream_table('guarded');
SELECT * FROM guarded ORDER BY id;
SELECT count(*) FROM pgtrickle.errors('guarded');

SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['counts', 'three_valued', 'prices', 'guarded', 'best']) AS name;
DROP SCHEMA sub CASCADE;
