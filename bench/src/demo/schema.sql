-- What the demo's airline tables look like. Flights are written while the demo runs, the others before.
CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (faa text PRIMARY KEY, name text, lat numeric, lon numeric, alt int, tz int, dst text, tzone text);
CREATE TABLE planes (
    tailnum text PRIMARY KEY, year int, type text, manufacturer text, model text, engines int, seats int, speed int,
    engine text
);
-- No primary key: an hour is there twice when the clocks are set back.
CREATE TABLE weather (
    origin text, year int, month int, day int, hour int, temp numeric, dewp numeric, humid numeric, wind_dir numeric,
    wind_speed numeric, wind_gust numeric, precip numeric, pressure numeric, visib numeric, time_hour timestamptz
);
CREATE TABLE flights (
    id int PRIMARY KEY, carrier text NOT NULL, flight int NOT NULL, tailnum text, origin text NOT NULL,
    dest text NOT NULL, distance int NOT NULL, scheduled timestamptz NOT NULL, departed timestamptz, dep_delay int,
    landed timestamptz, arr_delay int, air_time int,
    time_hour timestamptz NOT NULL
);

-- The last transaction of each of the replay's sessions: by it the demo sees when a commit has become visible.
CREATE TABLE ticks (session int, tick int);

-- What is going to happen.
CREATE SCHEMA replay;
CREATE TABLE replay.raw (
    year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, sched_arr_time int,
    arr_delay int, carrier text, flight int, tailnum text, origin text, dest text, air_time int, distance int,
    hour int, minute int, time_hour timestamptz
);
