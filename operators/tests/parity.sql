-- Writes parity.tsv: what PostgreSQL answers, for operators/tests/parity.rs.
--   psql -XqAt -f operators/tests/parity.sql > operators/tests/parity.tsv
-- Columns: what is called (a pg_proc OID, or an aggregate of a kind), its arguments, SQLSTATE and message of the error if it
-- raises, the result as text (floats as the bytes of their send function), and for numerics the payload as stored on disk.
\set ON_ERROR_STOP on
\pset fieldsep '\t'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pageinspect;
SET extra_float_digits = 3;
BEGIN;
SELECT setseed(0.18) \gset seed_

CREATE FUNCTION pick(VARIADIC text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT ($1)[1 + floor(random() * cardinality($1))::int] $$;
CREATE FUNCTION pick(VARIADIC numeric[]) RETURNS numeric LANGUAGE sql VOLATILE AS
$$ SELECT ($1)[1 + floor(random() * cardinality($1))::int] $$;

CREATE FUNCTION digits(n int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE r text := ''; style int := floor(random() * 5)::int;
BEGIN
  FOR i IN 1..n LOOP
    r := r || CASE style WHEN 0 THEN '9' WHEN 1 THEN pick('0', '0', '0', '0', '5')
                         WHEN 2 THEN pick('0', '4', '5', '9') ELSE floor(random() * 10)::int::text END;
  END LOOP;
  RETURN r;
END $$;

CREATE FUNCTION random_numeric() RETURNS numeric LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF random() < 0.04 THEN
    RETURN pick('NaN', 'Infinity', '-Infinity', '0', '0.000')::numeric;
  END IF;
  RETURN (pick('', '', '-') || '0' || digits(pick(0, 0, 1, 1, 2, 3, 4, 5, 8, 9, 17, 25, 38, 41, 90)::int) || '.' ||
          digits(pick(0, 0, 0, 1, 2, 2, 3, 4, 6, 9, 13, 20, 39, 70)::int))::numeric;
END $$;

CREATE FUNCTION random_float() RETURNS float8 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN CASE floor(random() * 6)::int
    WHEN 0 THEN floor(random() * 1e6) / 8
    WHEN 1 THEN (random() - 0.5) * pick(1e-300, 1e-30, 1e-5, 1, 100, 7e4, 4e9, 2e19, 1e38, 1e300)
    WHEN 2 THEN floor(random() * 9e15) + 0.5
    WHEN 3 THEN 1000000000000 + floor(random() * 1000) + pick(0.125, 0.375, 0.625, 0.875)
    WHEN 4 THEN pick('NaN', 'Infinity', '-Infinity', '-0', '5e-324', '1.7976931348623157e308', '0.1')::float8
    ELSE floor((random() - 0.5) * 70000) + 0.5 END;
END $$;

CREATE TABLE cases (id int GENERATED ALWAYS AS IDENTITY, what text, args text, call text);

INSERT INTO cases (what, args, call)
  SELECT oid::int, concat_ws(' ', a, b),
         format('%s(%L::numeric, %L::numeric)', oid::regproc, a, b)
  FROM unnest('{1724,1725,1726,1727,1728,1973}'::oid[]) oid, generate_series(1, 150) i,
       LATERAL (SELECT random_numeric() a, random_numeric() b WHERE i > 0 AND oid > 0) v;
INSERT INTO cases (what, args, call)
  SELECT oid::int, concat_ws(' ', a, b), format('%s(%L::numeric, %L::numeric)', oid::regproc, a, b)
  FROM unnest('{1718,1722,1723}'::oid[]) oid, generate_series(1, 30) i,
       LATERAL (SELECT random_numeric() a WHERE i > 0 AND oid > 0) x,
       LATERAL (SELECT CASE WHEN i % 2 = 0 THEN random_numeric() ELSE round(x.a, 12 + i) END b) y;
INSERT INTO cases (what, args, call)
  SELECT oid::int, concat_ws(' ', a, b), format('%s(%L::numeric, %L::int4)', oid::regproc, a, b)
  FROM unnest('{1707,1709}'::oid[]) oid, generate_series(1, 120) i,
       LATERAL (SELECT random_numeric() a, pick(-2000000000, -40, -9, -4, -3, -1, 0, 0, 1, 2, 3, 5, 8, 21, 100)::int b
                WHERE i > 0 AND oid > 0) v;
INSERT INTO cases (what, args, call)
  SELECT 1703, concat_ws(' ', a, b), format('pg_catalog."numeric"(%L::numeric, %L::int4)', a, b)
  FROM generate_series(1, 150) i,
       LATERAL (SELECT random_numeric() a, pick(5, 10, 40, 1000)::int p, pick(-3, 0, 2, 7, 12)::int s WHERE i > 0) v,
       LATERAL (SELECT ((p << 16) | (s & 2047)) + 4 b) t;
INSERT INTO cases (what, args, call)
  SELECT oid::int, a::text, format('pg_catalog.%I(%L::numeric)', (SELECT proname FROM pg_proc p WHERE p.oid = f.oid), a)
  FROM unnest('{1704,1706,1711,1712,1771,1744,1779,1783,1745,1746}'::oid[]) f(oid), generate_series(1, 50) i,
       LATERAL (SELECT CASE WHEN i % 3 > 0 THEN random_numeric()
                            ELSE pick(32767, 2147483647, 9223372036854775807, 7) * pick(1, -1) + pick(-1, 0, 0.5, 0.49999, 1)
                       END a WHERE i > 0 AND f.oid > 0) v;
INSERT INTO cases (what, args, call)
  SELECT oid::int, encode(float8send(a), 'hex'),
         format('pg_catalog.%I(%L::float8)', (SELECT proname FROM pg_proc p WHERE p.oid = f.oid), a)
  FROM unnest('{1743,317,483,237,312}'::oid[]) f(oid), generate_series(1, 80) i,
       LATERAL (SELECT random_float() a WHERE i > 0 AND f.oid > 0) v;
INSERT INTO cases (what, args, call)
  SELECT 1742, encode(float4send(a::float4), 'hex'), format('pg_catalog."numeric"(%L::float4)', a::float4)
  FROM generate_series(1, 80) i, LATERAL (SELECT random_float() a WHERE i > 0) v
  WHERE a IN ('NaN', 'Infinity', '-Infinity', 0) OR abs(a) BETWEEN 1e-30 AND 1e38;
INSERT INTO cases (what, args, call)
  SELECT f || ' numeric', string_agg(v::text, ' '), format('%s(v) FROM unnest(%L::numeric[]) v', f, array_agg(v))
  FROM unnest('{sum,avg}'::text[]) f, generate_series(1, 100) i, generate_series(1, 1 + i % 6) j,
       LATERAL (SELECT random_numeric() v WHERE i + j > 0 AND f > '') v
  GROUP BY f, i;
INSERT INTO cases (what, args, call)
  SELECT f || ' ' || t, string_agg(v::text, ' '), format('%s(v) FROM unnest(%L::%s[]) v', f, array_agg(v), t)
  FROM unnest('{sum,avg}'::text[]) f, unnest('{int2,int4,int8}'::text[]) t, generate_series(1, 40) i,
       generate_series(1, 1 + i % 5) j,
       LATERAL (SELECT CASE t WHEN 'int2' THEN pick(32767, -32768, 0, 1, 7)
                              WHEN 'int4' THEN pick(2147483647, -2147483648, 0, 1, 3, -100)
                              ELSE pick(9223372036854775807, -9223372036854775808, 0, 1, 3, 1000000007) END v
                WHERE i + j > 0 AND f > '') v
  GROUP BY f, t, i;
-- Digits as far as the format goes.
INSERT INTO cases (what, args, call)
  SELECT o::int, concat_ws(' ', a, b), format('%s(%L::numeric, %L::numeric)', o::oid::regproc, a, b)
  FROM unnest('{1724,1725,1726,1727,1728,1973}'::int[]) o,
       (VALUES (('0.' || repeat('0', 16382) || '1')::numeric, 3::numeric),
               (('0.' || repeat('7', 16383))::numeric, 0.3),
               (('1' || repeat('0', 1500))::numeric, ('0.' || repeat('0', 1500) || '3')::numeric),
               (1::numeric, ('1' || repeat('3', 2000))::numeric)) v (a, b);

CREATE TABLE answers (id int, code text, message text, answer text);
CREATE TABLE payloads (r numeric);
ALTER TABLE payloads ALTER COLUMN r SET STORAGE PLAIN;

DO $$
DECLARE c cases; code text; message text; answer text; ty text; payload text; rest text;
BEGIN
  FOR c IN SELECT * FROM cases ORDER BY id LOOP
    code := NULL; message := NULL; answer := NULL; payload := '';
    BEGIN
      EXECUTE 'SELECT pg_typeof(' || regexp_replace(c.call, ' FROM ', ') FROM ') ||
              CASE WHEN c.call ~ ' FROM ' THEN '' ELSE ')' END INTO ty;
      rest := coalesce(substring(c.call from ' FROM .*'), '');
      IF ty IN ('real', 'double precision') THEN
        EXECUTE format('SELECT encode(%s(%s), ''hex'')', CASE ty WHEN 'real' THEN 'float4send' ELSE 'float8send' END, c.call)
          INTO answer;
      ELSE
        EXECUTE 'SELECT ' || replace(c.call, rest, '') || '::text' || rest INTO answer;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    END;
    INSERT INTO answers VALUES (c.id, code, message, answer);
    IF ty = 'numeric' AND code IS NULL AND length(answer) < 8000 THEN
      TRUNCATE payloads;
      INSERT INTO payloads VALUES (answer::numeric);
      SELECT encode(substr(t_data, CASE get_byte(t_data, 0) & 1 WHEN 1 THEN 2 ELSE 5 END), 'hex') INTO payload FROM heap_page_items(get_raw_page('payloads', 0));
      UPDATE answers SET answer = answers.answer || E'\t' || payload WHERE id = c.id;
    END IF;
  END LOOP;
END $$;

SELECT what || E'\t' || args || E'\t' || coalesce(code, '') || E'\t' || coalesce(message, '') || E'\t' || coalesce(answer, '')
FROM cases JOIN answers USING (id) ORDER BY id;
ROLLBACK;
