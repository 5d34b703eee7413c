-- A generated year, in the shape of the real one, for machines that cannot fetch it.
INSERT INTO airlines SELECT chr(65 + i) || chr(65 + i * 7 % 26), 'Airline ' || chr(65 + i) FROM generate_series(0, 15) i;
INSERT INTO airports SELECT origin, origin || ' Airport' FROM unnest('{EWR,JFK,LGA}'::text[]) origin;
INSERT INTO airports SELECT 'X' || lpad(i::text, 2, '0'), 'Airport ' || i FROM generate_series(0, 99) i;
INSERT INTO planes SELECT 'N' || 10000 + i, 1980 + i * 7 % 33, 'Fixed wing multi engine', 'Maker ' || i % 12,
       'M' || i % 12 || '-' || 100 * (1 + i % 9), 2, 50 + i % 250, NULL, 'Turbo-fan' FROM generate_series(0, 3321) i;
INSERT INTO weather SELECT origin, 2013, extract(month FROM h), extract(day FROM h), extract(hour FROM h),
       40 + (hashint4(n) % 400) / 10.0, 30, 60, (hashint4(n + 1) % 36) * 10, abs(hashint4(n + 2) % 300) / 10.0, NULL,
       abs(hashint4(n + 3) % 100) / 100.0, 1012, abs(hashint4(n + 4) % 11), h
  FROM generate_series('2013-01-01 05:00+00'::timestamptz, '2014-01-01 04:00+00', '1 hour') WITH ORDINALITY AS hours (h, n8),
       unnest('{EWR,JFK,LGA}'::text[]) origin, LATERAL (SELECT n8::int * 31 AS n) AS seed;
INSERT INTO replay.raw (dep_time, dep_delay, arr_time, arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance,
                        minute, time_hour)
SELECT CASE WHEN r % 40 > 0 THEN 1 END, CASE WHEN r % 40 > 0 THEN greatest(-15, abs(r / 7 % 90) - 50) END,
       CASE WHEN r % 40 > 0 THEN 1 END, CASE WHEN r % 40 > 0 THEN greatest(-40, abs(r / 11 % 120) - 70) END,
       (SELECT chr(65 + k) || chr(65 + k * 7 % 26) FROM (SELECT abs(r / 13) % 16 AS k) AS of), 1 + abs(r / 17) % 3000,
       'N' || 10000 + abs(r / 19) % 3400, ('{EWR,JFK,LGA}'::text[])[1 + abs(r / 23) % 3],
       'X' || lpad((abs(r / 29) % 100)::text, 2, '0'), CASE WHEN r % 40 > 0 THEN 40 + abs(r / 31) % 300 END,
       200 + abs(r / 29) % 100 * 25, abs(r / 37) % 60,
       '2013-01-01 10:00+00'::timestamptz + (i / 920) * interval '1 day' + (i % 920 / 51) * interval '1 hour'
  FROM generate_series(0, 335799) i, LATERAL (SELECT hashint4(i) / 2 AS r) AS random;
