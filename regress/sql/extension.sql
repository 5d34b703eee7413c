-- Installing and removing the extension.
CREATE EXTENSION pg_trickle;
SELECT pgtrickle.version();
-- Every function has a comment, and none runs with the rights of its owner.
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments
  FROM pg_proc p
 WHERE p.pronamespace = 'pgtrickle'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'pgtrickle'::regnamespace AND p.prosecdef;
-- Nobody but its owner reads the catalog.
SELECT c.relname FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'pgtrickle'::regnamespace AND c.relkind = 'r' AND a.grantee <> c.relowner;

-- DROP EXTENSION lists what it would take along, and CASCADE leaves nothing behind.
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric);
SELECT pgtrickle.create_stream_table('per_customer', 'SELECT customer, sum(amount) AS total FROM orders GROUP BY customer');
SELECT pgtrickle.create_stream_table('customers', 'SELECT count(*) AS n FROM per_customer');
SELECT pgtrickle.refresh_stream_table('customers');
SELECT count(*) > 0 AS captured FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
DROP EXTENSION pg_trickle;
SELECT name FROM pgtrickle.stream_table_status();
DROP EXTENSION pg_trickle CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
SELECT nspname FROM pg_namespace WHERE nspname ~ 'pgtrickle';
-- What was captured writes as if nothing had been.
INSERT INTO orders VALUES (1, 1, 1);

-- It can be installed again, and the worker serves the new installation.
CREATE EXTENSION pg_trickle;
SELECT pgtrickle.create_stream_table('per_customer', 'SELECT customer, sum(amount) AS total FROM orders GROUP BY customer');
INSERT INTO orders VALUES (2, 1, 2);
SELECT pgtrickle.refresh_stream_table('per_customer');
TABLE per_customer;
-- Without stream tables it goes without CASCADE, whether capture has been taken off already or not.
DROP TABLE per_customer;
DROP EXTENSION pg_trickle;
DROP TABLE orders;
-- A schema of the same name that is not ours is left alone, and nothing of it is run.
CREATE SCHEMA pgtrickle;
CREATE TABLE pgtrickle.live_table (relid oid PRIMARY KEY, id uuid, view oid, system_identifier int8, database oid);
CREATE TABLE bait (a int);
INSERT INTO pgtrickle.live_table SELECT 'bait'::regclass, NULL, 'bait'::regclass, system_identifier, d.oid
  FROM pg_control_system(), pg_database d WHERE datname = current_database();
INSERT INTO bait VALUES (1);
ALTER TABLE bait RENAME TO bait2;
ALTER SCHEMA pgtrickle RENAME TO mine;
ALTER SCHEMA mine RENAME TO pgtrickle;
DROP TABLE bait2;
CREATE EXTENSION pg_trickle;
DROP SCHEMA pgtrickle CASCADE;
CREATE EXTENSION pg_trickle;
