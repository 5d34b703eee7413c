-- name: totals
SELECT count(*) AS flights, count(arrival_delay) AS landed, sum(distance) AS miles, avg(arrival_delay) AS mean_delay FROM flights
-- name: by_airline
SELECT a.name, count(*) AS flights, avg(f.departure_delay) AS mean_delay,
       count(*) FILTER (WHERE f.arrival_delay > 30) AS late, max(f.arrival_delay) AS worst
  FROM flights f JOIN airlines a USING (carrier) GROUP BY a.name
-- name: by_origin
SELECT origin, count(*) AS flights, count(DISTINCT destination) AS destinations, min(scheduled) AS first, max(scheduled) AS last
  FROM flights GROUP BY origin
-- name: routes
SELECT f.origin, p.name AS destination, count(*) AS flights, avg(f.air_time) AS minutes, sum(f.distance) AS miles
  FROM flights f JOIN airports p ON p.code = f.destination GROUP BY f.origin, p.name
-- name: aircraft
SELECT p.manufacturer, p.model, count(*) AS flights, sum(f.distance) AS miles, sum(p.seats) AS seats
  FROM flights f JOIN planes p USING (tail) GROUP BY p.manufacturer, p.model HAVING count(*) > 10
-- name: by_month
SELECT to_char(scheduled, 'YYYY Month') AS month, count(*) AS flights, avg(departure_delay) AS mean_delay
  FROM flights GROUP BY to_char(scheduled, 'YYYY Month')
-- name: very_late
SELECT f.id, a.name AS airline, upper(p.name) AS destination, f.scheduled, f.arrival_delay
  FROM flights f JOIN airlines a USING (carrier) JOIN airports p ON p.code = f.destination WHERE f.arrival_delay > 180
-- name: in_the_wind
SELECT f.origin, width_bucket(w.wind, 0, 40, 8) AS force, count(*) AS flights, avg(f.departure_delay) AS mean_delay
  FROM flights f JOIN weather w ON w.origin = f.origin AND w.hour = date_trunc('hour', f.scheduled)
 GROUP BY f.origin, width_bucket(w.wind, 0, 40, 8)
-- name: punctual_airlines
SELECT name, flights, late, round(100.0 * late / flights, 1) AS late_percent FROM by_airline WHERE flights > 500
-- name: punctuality
SELECT count(*) AS airlines, sum(flights) AS flights, sum(late) AS late FROM punctual_airlines
-- name: latest_tick
SELECT max(tick) AS tick FROM ticks
