-- From what was recorded to what is replayed: a flight is written when it departs, changed when it lands; a cancelled one is
-- written when it should have departed, and deleted when they give up.
CREATE TABLE replay.timetable AS
SELECT row_number() OVER (ORDER BY time_hour + minute * interval '1 minute', carrier, flight, origin)::int AS id,
       carrier, flight, tailnum, origin, dest, distance,
       time_hour + minute * interval '1 minute' AS scheduled,
       time_hour + (minute + dep_delay) * interval '1 minute' AS departed,
       dep_delay,
       time_hour + (minute + dep_delay + coalesce(air_time, 180) + 25) * interval '1 minute' AS landed,
       arr_delay, air_time, time_hour, dep_time IS NULL AS cancelled
  FROM replay.raw;
CREATE UNIQUE INDEX ON replay.timetable (id);
CREATE TABLE replay.events AS
SELECT id, 'departure' AS kind, coalesce(departed, scheduled) AS at FROM replay.timetable
UNION ALL
SELECT id, CASE WHEN cancelled THEN 'cancellation' ELSE 'arrival' END, coalesce(landed, scheduled + interval '2 hours')
  FROM replay.timetable;
VACUUM ANALYZE replay.timetable;
